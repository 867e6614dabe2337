"""Grounding: one linear classifier a concept, trained on what radiology reports say (M1.2, M1.3; M3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from osler.bottleneck.records import Array
from osler_training.evaluate.metrics import binary_auroc
from osler_training.fit.logistic import Direction, fit_logistic

FOLDS = 5


@dataclass(frozen=True)
class GroundingRule:
    """How groundings are fitted; the defaults are those of M1.3.

    Attributes:
        scanned: Most examples looked at.
        kept: Most examples trained on; at most half of them are positive.
        held_out_share: Share of the rarer class that is held out, of each class.
        held_out_most: Most examples held out of each class.
        held_out_least: A concept with fewer is skipped.
        rarest: A concept whose rarer answer has a smaller share of the answers is skipped (not groundable).
        Cs: Inverse strengths of the L2 penalty, as in scikit-learn. Of several, each concept gets the one with the lowest
            cross-entropy in a cross-validation by patient, inside the examples it is trained on: with some hundred
            examples of unit length, the paper's C = 1 is often too stiff.
        classifier: `logistic` regression, or the linear `svm` of concept activation vectors, which are compared by error.
        best: Most concepts that are kept, the best by held-out accuracy (M1.1).
    """

    scanned: int = 10_000
    kept: int = 2_000
    held_out_share: float = 0.1
    held_out_most: int = 50
    held_out_least: int = 10
    rarest: float = 0.1
    Cs: tuple[float, ...] = (1.0,)
    classifier: Literal["logistic", "svm"] = "logistic"
    best: int = 150


@dataclass(frozen=True)
class ConceptFit:
    """How the grounding of one concept went; figures are NaN where the concept was skipped."""

    concept: str
    positives: int
    negatives: int
    held_out: int = 0
    accuracy: float = float("nan")
    auroc: float = float("nan")
    C: float = float("nan")
    similarity: float = float("nan")  # to what the encoder's text space says, where that is what is learned
    skipped: str = ""


@dataclass(frozen=True)
class Grounding:
    """Directions of the concepts that could be grounded, in the order of the bank.

    Attributes:
        ids: Their identifiers (C,).
        vectors: Weights (C, D).
        intercepts: Intercepts (C,).
        fits: A record a concept that was asked for, skipped ones too, best held-out accuracy first.
    """

    ids: tuple[str, ...]
    vectors: Array
    intercepts: Array
    fits: tuple[ConceptFit, ...] = field(default=())

    def keep_best(self, count: int) -> Grounding:
        """Return the groundings of the `count` concepts whose fits come first; the others' fits say why they went."""
        first = [fit.concept for fit in self.fits if not fit.skipped][:count]
        rows = [c for c, one in enumerate(self.ids) if one in set(first)]
        fits = tuple(
            fit if fit.skipped or fit.concept in first else replace(fit, skipped=f"not among the {count} best grounded")
            for fit in self.fits
        )
        return Grounding(tuple(self.ids[c] for c in rows), self.vectors[rows], self.intercepts[rows], fits)

    def table(self) -> list[dict[str, Any]]:
        """Return the fits as JSON objects."""
        return [asdict(fit) for fit in self.fits]

    def summary(self) -> dict[str, float]:
        """Return the means over the concepts that were kept, of the figures that they have."""
        kept = [fit for fit in self.fits if not fit.skipped]
        figures = {name: [getattr(fit, name) for fit in kept] for name in ("accuracy", "similarity")}
        return {f"grounding_{name}": float(np.mean(all_)) for name, all_ in figures.items() if np.isfinite(all_).all()}


def fit_grounding(
    x: Array,
    labels: Array,
    patients: Sequence[str],
    concept_ids: Sequence[str],
    *,
    seed: int,
    rule: GroundingRule | None = None,
) -> Grounding:
    """Ground every concept that has enough of both answers.

    Args:
        x: Features as the scorer will see them (n, D).
        labels: Concept labels (n, C) in {0, 1, NaN}; NaN is not used.
        patients: Pseudonyms (n,): a patient is held out as a whole.
        concept_ids: Identifiers (C,) in the order of the bank; each is fitted with its own seed, so that order is nothing.
        seed: Seed of scanning, holding out and balancing.
        rule: How; M1.3 by default.
    """
    rule = rule or GroundingRule()
    group = np.unique(np.asarray(patients), return_inverse=True)[1]
    ids, vectors, intercepts, fits = [], [], [], []
    for c, concept in enumerate(concept_ids):
        rng = np.random.default_rng([seed, *concept.encode()])
        fit, model = _fit_one(concept, x, labels[:, c], group, rule, rng)
        fits.append(fit)
        if model is not None:
            ids.append(concept)
            vectors.append(model.w)
            intercepts.append(model.b)
    fits.sort(key=lambda fit: (bool(fit.skipped), -fit.accuracy if not fit.skipped else 0.0, fit.concept))
    D = x.shape[1]
    grounding = Grounding(tuple(ids), np.array(vectors).reshape(-1, D), np.array(intercepts), tuple(fits))
    return grounding.keep_best(rule.best)


def _fit_one(
    concept: str, x: Array, label: Array, group: NDArray[np.intp], rule: GroundingRule, rng: np.random.Generator
) -> tuple[ConceptFit, Direction | None]:
    answered = rng.permutation(np.flatnonzero(~np.isnan(label)))[: rule.scanned]
    sides = [answered[label[answered] == value] for value in (0, 1)]
    record = ConceptFit(concept, positives=len(sides[1]), negatives=len(sides[0]))
    rarer = min(map(len, sides))
    held = int(min(rule.held_out_share * rarer, rule.held_out_most))
    if rarer == 0:
        return replace(record, skipped="one answer only" if len(answered) else "no answer"), None
    if rarer < rule.rarest * len(answered):
        return replace(record, skipped=f"rarer answer below {rule.rarest:.0%}"), None
    if held < rule.held_out_least:
        return replace(record, skipped=f"fewer than {rule.held_out_least} to hold out"), None
    test = np.concatenate([side[:held] for side in sides])
    free = [side[held:][~np.isin(group[side[held:]], group[test])] for side in sides]
    size = min(rule.kept // 2, *map(len, free))
    if size == 0:
        return replace(record, skipped="no patient left to train on"), None
    if len(rule.Cs) > 1 and size < FOLDS:
        return replace(record, skipped="too few left to choose a strength on"), None
    train = np.concatenate([side[:size] for side in free])
    model = _linear(x[train], label[train].astype(int), group[train], rule)
    truth = label[test].astype(int)
    auroc = float(binary_auroc(truth, model.decision(x[test]), np.ones((1, len(test))))[0])
    return replace(record, held_out=len(test), accuracy=model.accuracy(x[test], truth), auroc=auroc, C=model.C), model


def _linear(x: Array, y: NDArray[np.int_], group: NDArray[np.intp], rule: GroundingRule) -> Direction:
    C = rule.Cs[0]
    if len(rule.Cs) > 1:
        folds = StratifiedGroupKFold(FOLDS).split(x, y, group)
        losses = np.mean([_held_out_losses(x, y, fold, rule) for fold in folds], axis=0)
        C = rule.Cs[int(losses.argmin())]
    return _fitted(x, y, rule, C, None)


def _held_out_losses(x: Array, y: NDArray[np.int_], fold: tuple[Any, Any], rule: GroundingRule) -> list[float]:
    """Return the loss with each strength outside the fold, each fit starting from the one before."""
    inside, outside = fold
    losses, model = [], None
    for C in rule.Cs:
        model = _fitted(x[inside], y[inside], rule, C, model)
        seen, truth = x[outside], y[outside]
        losses.append(1 - model.accuracy(seen, truth) if rule.classifier == "svm" else model.cross_entropy(seen, truth))
    return losses


def _fitted(x: Array, y: NDArray[np.int_], rule: GroundingRule, C: float, start: Direction | None) -> Direction:
    if rule.classifier == "svm":
        machine = SVC(kernel="linear", C=C).fit(x, y)
        return Direction(np.asarray(machine.coef_[0], float), float(machine.intercept_[0]), C)
    return fit_logistic(x, y, C, start)
