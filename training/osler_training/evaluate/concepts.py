"""How well concepts are read: per concept and over all, and which of them moved between two sites (M19.4, M19.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, joint_weights
from osler_training.evaluate.calibration import probability_brier, probability_ece
from osler_training.evaluate.comparisons import corrected, p_value
from osler_training.evaluate.metrics import average_precision, binary_auroc, ratio
from osler_training.evaluate.records import Records

LEAST = 10  # of each answer, for a concept to have a figure
Drawn = tuple[Array, int]  # a figure under each row of weights (R,), and the studies that it rests on
OneConcept = Callable[[NDArray[np.bool_], Array, Array], Array]


@dataclass(frozen=True)
class Answers:
    """What annotators answered to one concept: how many yes, how many no, and whether that is enough for a figure."""

    positives: int
    negatives: int

    @property
    def enough(self) -> bool:
        """Whether there are at least ten of each."""
        return min(self.positives, self.negatives) >= LEAST


def answers(records: Records) -> dict[str, Answers]:
    """Return the answers to every concept."""
    truth = records.truth()
    counts = [(int((truth[:, c] == 1).sum()), int((truth[:, c] == 0).sum())) for c in range(len(records.concepts))]
    return {one: Answers(*count) for one, count in zip(records.concepts, counts, strict=True)}


def excluded(records: Records) -> dict[str, Answers]:
    """Return the concepts that no figure speaks of, because too few studies have one of the two answers."""
    return {one: count for one, count in answers(records).items() if not count.enough}


def choose_thresholds(records: Records) -> dict[str, float]:
    """Return the score from which each concept is called present: the one of the best balanced accuracy.

    Choose them on the select split, never on what is reported. A concept that lacks one of the answers there has none.
    """
    return best_thresholds(records.truth(), records.concept_score(), records.concepts)


def best_thresholds(truth: Array, score: Array, concepts: Sequence[str]) -> dict[str, float]:
    """Return the threshold of each concept from truth (n, C) in {0, 1, NaN} and scores (n, C). See `choose_thresholds`."""
    chosen = {}
    for c, concept in enumerate(concepts):
        known = ~np.isnan(truth[:, c])
        if len(set(truth[known, c])) == 2:
            chosen[concept] = _best_threshold(truth[known, c] == 1, score[known, c])
    return chosen


def _best_threshold(positive: BoolArray, score: Array) -> float:
    false_alarms, hits, thresholds = roc_curve(positive, score, drop_intermediate=False)
    best = int(np.argmax(hits - false_alarms))
    if best == 0:  # calling nothing is best: above every score
        return float(np.nextafter(score.max(), np.inf))
    lower = score[score < thresholds[best]]
    # Midway to the next score below, so that a new study on either side is treated alike.
    return float((thresholds[best] + lower.max()) / 2) if len(lower) else float(thresholds[best])


def thresholds_of(records: Records) -> Array:
    """Return the threshold of each concept (C,) that the head names, NaN where it names none.

    Raises:
        OslerError: `part-missing` where it names none at all.
    """
    named: Mapping[str, Any] = records.head.get("concept_thresholds") or {}
    if not named:
        raise OslerError(
            Code.PART_MISSING,
            "The table has no thresholds of concepts.",
            "Put `choose_thresholds` of the select split into its head, as `concept_thresholds`.",
        )
    return np.array([float(named.get(one, np.nan)) for one in records.concepts])


def per_concept(records: Records, score: Array, metric: OneConcept, weights: Array, *, name: str) -> dict[str, Drawn]:
    """Return a figure of every concept with enough answers as `name/concept`, and their mean as `name`.

    Args:
        records: The studies.
        score: What is judged (n, C); a column of NaN is left out.
        metric: Figure of one concept from answers (m,), scores (m,) and weights (R, m).
        weights: Rows of weights (R, n).
        name: Name of the figure.
    """
    truth, found = records.truth(), {}
    for c, (concept, count) in enumerate(answers(records).items()):
        if count.enough and not np.isnan(score[:, c]).any():
            known = ~np.isnan(truth[:, c])
            drawn = metric(truth[known, c] == 1, score[known, c], weights[:, known])
            found[f"{name}/{concept}"] = (drawn, int(known.sum()))
    if not found:
        return {name: (np.full(len(weights), np.nan), 0)}
    macro = np.mean([drawn for drawn, _ in found.values()], axis=0)
    return {name: (macro, int((~np.isnan(truth)).any(1).sum())), **found}


def concept_auroc(records: Records, weights: Array) -> dict[str, Drawn]:
    """AUROC of each concept."""
    return per_concept(records, records.concept_score(), binary_auroc, weights, name="concept_auroc")


def concept_auprc(records: Records, weights: Array) -> dict[str, Drawn]:
    """Area under the precision-recall curve of each concept, with its prevalence, which is what chance reaches."""
    score = records.concept_score()
    curves = per_concept(records, score, average_precision, weights, name="concept_auprc")
    return curves | per_concept(records, score, _prevalence, weights, name="concept_prevalence")


def concept_balanced_accuracy(records: Records, weights: Array) -> dict[str, Drawn]:
    """Balanced accuracy of each concept at the threshold that the head names."""
    return per_concept(records, _called(records), _balanced, weights, name="concept_balanced_accuracy")


def concept_all_correct(records: Records, weights: Array) -> dict[str, Drawn]:
    """Share of studies whose annotated concepts are all called right ("overall concept")."""
    truth, called = records.truth(), _called(records)
    judged = ~np.isnan(truth) & ~np.isnan(called)
    rows = judged.any(1)
    right = (~judged | (called == truth)).all(1)[rows].astype(float)
    some = weights[:, rows]
    return {"concept_all_correct": (ratio(some @ right, some.sum(1)), int(rows.sum()))}


def concept_ece(records: Records, weights: Array) -> dict[str, Drawn]:
    """Calibration error of each concept's probability."""
    return per_concept(records, _probabilities(records), probability_ece, weights, name="concept_ece")


def concept_brier(records: Records, weights: Array) -> dict[str, Drawn]:
    """Squared error of each concept's probability."""
    return per_concept(records, _probabilities(records), probability_brier, weights, name="concept_brier")


def _called(records: Records) -> Array:
    limits = thresholds_of(records)
    return np.where(np.isnan(limits), np.nan, records.concept_score() >= limits)


def _probabilities(records: Records) -> Array:
    if records.concept_prob is None:
        raise OslerError(
            Code.PART_MISSING,
            "The values of these concepts are no probabilities.",
            "Leave calibration of concepts out.",
        )
    return records.concept_prob


def _prevalence(positive: BoolArray, score: Array, weights: Array) -> Array:
    return ratio(weights @ positive.astype(float), weights.sum(1))


def _balanced(positive: BoolArray, called: Array, weights: Array) -> Array:
    right = (called == positive).astype(float)
    recalls = [ratio(weights @ (right * side), weights @ side) for side in (positive * 1.0, 1.0 - positive)]
    return np.asarray((recalls[0] + recalls[1]) / 2)


@dataclass(frozen=True)
class Moved:
    """AUROC of one concept at two sites.

    Attributes:
        concept: Identifier.
        source: AUROC where the model was fitted.
        target: AUROC elsewhere.
        difference: Target minus source.
        p: Two-sided, that there is no difference, from the bootstrap.
        p_corrected: The same, corrected for the number of concepts.
    """

    concept: str
    source: Estimate
    target: Estimate
    difference: Estimate
    p: float
    p_corrected: float

    @property
    def moved(self) -> bool:
        """Whether the corrected p is below 0.05."""
        return self.p_corrected < 0.05


def moved_concepts(source: Records, target: Records, *, seed: int, replicates: int = REPLICATES) -> list[Moved]:
    """Return the AUROC of every concept with enough answers at both sites, the largest fall first.

    Patients of the two sites are drawn independently, and together where the sites share patients: the interval of the
    difference is paired then.
    """
    drawn = joint_weights(source.patients, target.patients, seed=seed, replicates=replicates)
    both = []
    for records, weights in zip((source, target), drawn, strict=True):
        rows = np.vstack([np.ones((1, len(records))), weights])
        both.append({name: Estimate(float(one[0]), one[1:]) for name, (one, _) in concept_auroc(records, rows).items()})
    shared = [name for name in both[0] if name in both[1] and "/" in name]
    differences = [both[1][name].minus(both[0][name]) for name in shared]
    ps = [p_value(one) for one in differences]
    found = [
        Moved(name.partition("/")[2], both[0][name], both[1][name], difference, p, q)
        for name, difference, p, q in zip(shared, differences, ps, corrected(ps), strict=True)
    ]
    return sorted(found, key=lambda one: one.difference.value)
