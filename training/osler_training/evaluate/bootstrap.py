"""Confidence intervals by bootstrap over patients (methods, 19.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler.bottleneck.records import Array
from osler_training.evaluate.metrics import Labels, Metric

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that its bootstrap replicates span.

    Attributes:
        value: Point estimate, on all samples.
        replicates: Its bootstrap replicates (R,).
    """

    value: float
    replicates: Array

    @property
    def ci(self) -> tuple[float, float]:
        """Percentile interval at 95%; replicates where the number is undefined are left out."""
        if np.isnan(self.replicates).all():
            return (float("nan"), float("nan"))
        low, high = np.nanquantile(self.replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    @property
    def centred(self) -> Estimate:
        """The same with its replicates moved so that their mean is the value, none below zero.

        For errors that noise pushes up (calibration errors, norms of differences): a draw has more noise than the sample, and
        its replicates would lie beside the value that they are to surround.
        """
        if np.isnan(self.replicates).all():
            return self
        return Estimate(self.value, np.maximum(self.replicates - np.nanmean(self.replicates) + self.value, 0))

    def minus(self, other: Estimate) -> Estimate:
        """Return the difference; paired where both were drawn with the same weights."""
        return Estimate(self.value - other.value, self.replicates - other.replicates)


def patient_weights(patients: Sequence[str], *, seed: int | Sequence[int], replicates: int = REPLICATES) -> Array:
    """Return how often each sample is drawn when patients are drawn with replacement, (replicates, n).

    The same patients, seed and number of replicates give the same weights: that is what pairs two methods.
    """
    _, inverse = np.unique(np.asarray(patients), return_inverse=True)
    count = int(inverse.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn[:, inverse].astype(float)


def joint_weights(
    first: Sequence[str], second: Sequence[str], *, seed: int, replicates: int = REPLICATES
) -> tuple[Array, Array]:
    """Return weights of two sets: drawn independently, or patient by patient where they share some."""
    if not set(first) & set(second):
        inside = patient_weights(first, seed=2 * seed, replicates=replicates)
        return inside, patient_weights(second, seed=2 * seed + 1, replicates=replicates)
    weights = patient_weights([*first, *second], seed=2 * seed, replicates=replicates)
    return weights[:, : len(first)], weights[:, len(first) :]


def estimate(metric: Metric, y: Labels, prob: Array, weights: Array) -> Estimate:
    """Return a metric with its replicates under the weights (R, n)."""
    point = metric(y, prob, np.ones((1, len(y))))[0]
    return Estimate(float(point), metric(y, prob, weights))


def gap(first: Estimate, second: Estimate) -> Estimate:
    """Return |ID - OOD| (M1)."""
    return Estimate(abs(first.value - second.value), np.abs(first.replicates - second.replicates))


def average(first: Estimate, second: Estimate) -> Estimate:
    """Return (ID + OOD) / 2 (M1)."""
    return Estimate((first.value + second.value) / 2, (first.replicates + second.replicates) / 2)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of figures, replicate by replicate: of paired ones, or of tasks with patients of their own."""
    return Estimate(
        float(np.mean([one.value for one in estimates])), np.mean([one.replicates for one in estimates], axis=0)
    )
