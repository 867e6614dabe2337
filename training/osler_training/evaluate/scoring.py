"""Every figure of one table of predictions, with its interval by bootstrap over patients: `score(records, metrics)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate import concepts
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.calibration import adaptive_ece, classwise_ece
from osler_training.evaluate.comparisons import paired_differences
from osler_training.evaluate.groups import worst_group_accuracy
from osler_training.evaluate.metrics import METRICS, Metric, class_accuracies
from osler_training.evaluate.records import Records, same_studies

Drawn = tuple[Array, int]
Family = Callable[[Records, Array], Mapping[str, Drawn]]
_CELLS = 2_000_000  # weights that are looked at in one go, so that large sets stay within memory

CLASS_METRICS: dict[str, Metric] = {**METRICS, "adaptive_ece": adaptive_ece, "classwise_ece": classwise_ece}
CONCEPT_METRICS: dict[str, Family] = {
    "concept_auroc": concepts.concept_auroc,
    "concept_auprc": concepts.concept_auprc,
    "concept_balanced_accuracy": concepts.concept_balanced_accuracy,
    "concept_all_correct": concepts.concept_all_correct,
    "concept_ece": concepts.concept_ece,
    "concept_brier": concepts.concept_brier,
}
_RECALL = "recall"
_OF_GROUPS = "worst_group_accuracy"


def metric_names() -> list[str]:
    """Return the names that `score` knows; `recall` gives one figure a class, `worst_group_accuracy:ATTRIBUTE` takes an attribute of the table, or `site`."""
    return [*CLASS_METRICS, _RECALL, *CONCEPT_METRICS, f"{_OF_GROUPS}:ATTRIBUTE"]


def metrics_for(records: Records) -> list[str]:
    """Return every metric that a table has what is needed for, attributes aside."""
    names = [*CLASS_METRICS, _RECALL]
    if records.concept_truth is None or (records.concept_prob is None and records.concept_value is None):
        return names
    names += ["concept_auroc", "concept_auprc"]
    if records.head.get("concept_thresholds"):
        names += ["concept_balanced_accuracy", "concept_all_correct"]
    if records.concept_prob is not None:
        names += ["concept_ece", "concept_brier"]
    return names


def estimates(
    records: Records, metrics: Sequence[str] | None = None, *, seed: int, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Return figures with their bootstrap replicates; the same studies and seed pair two models.

    Args:
        records: The predictions.
        metrics: Names (see `metric_names`); all that the table allows by default. A metric of concepts gives the mean under
            its own name, and each concept as `name/concept`.
        seed: Seed of the draw of patients.
        replicates: How many draws.

    Raises:
        OslerError: `usage` where there is no such metric; `part-missing` where the table lacks what it needs;
            `nothing-eligible` where it has no studies.
    """
    weights = patient_weights(_some(records).patients, seed=seed, replicates=replicates)
    return {name: one for name, (one, _) in drawn(records, metrics, weights).items()}


def score(
    records: Records, metrics: Sequence[str] | None = None, *, seed: int, replicates: int = REPLICATES
) -> dict[str, dict[str, float]]:
    """Return `{name: {value, ci_low, ci_high, n}}`; n is the number of studies behind a figure. See `estimates`."""
    weights = patient_weights(_some(records).patients, seed=seed, replicates=replicates)
    found = {}
    for name, (one, n) in drawn(records, metrics, weights).items():
        low, high = one.ci
        found[name] = {"value": one.value, "ci_low": low, "ci_high": high, "n": n}
    return found


def compare(
    first: Records,
    second: Records,
    metrics: Sequence[str] | None = None,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, Estimate]:
    """Return first minus second of every figure, paired by patient.

    Raises:
        OslerError: `table-invalid` where the two do not hold the same studies.
    """
    first, second = same_studies(first, second)
    both = (estimates(one, metrics, seed=seed, replicates=replicates) for one in (first, second))
    return paired_differences(*both)


def drawn(records: Records, metrics: Sequence[str] | None, weights: Array) -> dict[str, tuple[Estimate, int]]:
    """Return figures under bootstrap weights (R, n), and the studies behind each. See `estimates`."""
    families = [family(name) for name in (metrics_for(records) if metrics is None else metrics)]
    rows = np.vstack([np.ones((1, len(records))), weights])
    parts = np.array_split(rows, max(1, rows.size // _CELLS))
    found = {}
    for one in families:
        chunks = [one(records, part) for part in parts]
        for name, (_, n) in chunks[0].items():
            every = np.concatenate([chunk[name][0] for chunk in chunks])
            figure = Estimate(float(every[0]), every[1:])
            found[name] = (figure.centred if name.partition("/")[0].endswith("ece") else figure, n)
    return found


def _some(records: Records) -> Records:
    if not len(records):
        raise OslerError(Code.NOTHING_ELIGIBLE, "The table has no studies.", "Score a site that has some.")
    return records


def family(name: str) -> Family:
    """Return the metric of a name.

    Raises:
        OslerError: `usage`.
    """
    kind, _, attribute = name.partition(":")
    if kind == _OF_GROUPS and attribute:
        return partial(worst_group_accuracy, attribute=attribute)
    if name in CLASS_METRICS:
        return partial(_of_classes, name, CLASS_METRICS[name])
    if name == _RECALL:
        return _recalls
    if name in CONCEPT_METRICS:
        return CONCEPT_METRICS[name]
    raise OslerError(Code.USAGE, f"There is no metric {name!r}.", f"Use one of {', '.join(metric_names())}.")


def _of_classes(name: str, metric: Metric, records: Records, weights: Array) -> dict[str, Drawn]:
    return {name: (metric(records.y, records.prob, weights), len(records))}


def _recalls(records: Records, weights: Array) -> dict[str, Drawn]:
    """Recall of each class that some study has."""
    every = class_accuracies(records.y, records.prob, weights)
    counts = np.bincount(records.y, minlength=len(records.classes))
    return {f"{_RECALL}/{records.classes[k]}": (every[:, k], int(counts[k])) for k in np.flatnonzero(counts)}
