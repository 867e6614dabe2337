"""In-domain against out-of-domain, with intervals: ID, OOD, gap, Avg (M1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from osler.bottleneck.records import Array
from osler_training.evaluate.bootstrap import (
    REPLICATES,
    Estimate,
    average,
    estimate,
    gap,
    joint_weights,
    mean_of,
    patient_weights,
)
from osler_training.evaluate.metrics import METRICS, Labels, Metric, accuracy
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import drawn


@dataclass(frozen=True)
class Predicted:
    """Class probabilities on one test set.

    Attributes:
        prob: Class probabilities (n, K).
        y: True classes (n,).
        patients: Pseudonyms of the patients (n,).
    """

    prob: Array
    y: Labels
    patients: tuple[str, ...]

    def estimate(self, metric: Metric = accuracy, *, seed: int) -> Estimate:
        """Return a metric with its patient bootstrap; the same seed pairs methods that met the same patients."""
        return estimate(metric, self.y, self.prob, patient_weights(self.patients, seed=seed))


@dataclass(frozen=True)
class ShiftRecord:
    """What one method reached on both sides of a shift; accuracies are fractions.

    Attributes:
        method: Name of the method.
        id: Accuracy in domain.
        ood: Accuracy out of domain.
        gap: |id - ood|.
        avg: (id + ood) / 2.
        ci: 95% interval of each of the four, by bootstrap over patients; those of gap and avg draw both sets jointly.
        more: The other metrics by domain, `{"id": {"auroc": {"value": .., "ci": [..]}}, "ood": ..}`.
    """

    method: str
    id: float
    ood: float
    gap: float
    avg: float
    ci: dict[str, tuple[float, float]]
    more: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def shift_estimates(source: Predicted, target: Predicted, *, seed: int) -> dict[str, Estimate]:
    """Return id, ood, gap and avg of the accuracy, with replicates drawn jointly (the two sets share no patient)."""
    inside, outside = source.estimate(seed=2 * seed), target.estimate(seed=2 * seed + 1)
    return {"id": inside, "ood": outside, "gap": gap(inside, outside), "avg": average(inside, outside)}


def shift_record(method: str, source: Predicted, target: Predicted, *, seed: int) -> ShiftRecord:
    """Summarise a method by its predictions on both test sets."""
    four = shift_estimates(source, target, seed=seed)
    more = {
        domain: {name: _cell(name, predicted.estimate(metric, seed=2 * seed + i)) for name, metric in METRICS.items()}
        for i, (domain, predicted) in enumerate((("id", source), ("ood", target)))
    }
    values = {name: one.value for name, one in four.items()}
    return ShiftRecord(method, **values, ci={name: one.ci for name, one in four.items()}, more=more)


def _cell(name: str, one: Estimate) -> dict[str, Any]:
    return {"value": one.value, "ci": list((one.centred if name == "ece" else one).ci)}


def shift_table(
    source: Records,
    target: Records,
    metrics: Sequence[str] | None = None,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, dict[str, Estimate]]:
    """Return id, ood, gap and avg of every figure that both tables have, each concept's own among them.

    Patients of the two sites are drawn independently, or together where the sites share some.
    """
    weights = joint_weights(source.patients, target.patients, seed=seed, replicates=replicates)
    inside, outside = (drawn(one, metrics, rows) for one, rows in zip((source, target), weights, strict=True))
    table = {}
    for name in inside:
        if name in outside:
            first, second = inside[name][0], outside[name][0]
            table[name] = {"id": first, "ood": second, "gap": gap(first, second), "avg": average(first, second)}
    return table


def overall(confounded: Sequence[Estimate], unconfounded: Sequence[Estimate]) -> Estimate:
    """Return (mean Avg over confounded tasks + mean over unconfounded ones) / 2 (M1)."""
    return average(mean_of(confounded), mean_of(unconfounded))
