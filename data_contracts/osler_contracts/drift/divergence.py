"""How far two distributions are apart: population stability index, Jensen-Shannon divergence, Kolmogorov-Smirnov distance.

All in nats, on cells of counts that may be fractions. Near each other PSI = 8 JSD = sum (p - q)^2 / p, and between normals
of equal spread whose means lie d standard deviations apart PSI = d^2: 0.1 is a third of a standard deviation, 0.25 a half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

# Added to each cell before shares are taken, so that a cell that one side lacks does not make PSI infinite (Jeffreys).
PSEUDO = 0.5


def smoothed(counts: Counts) -> Counts:
    """Return shares along the last axis, none of them 0."""
    raised = counts + PSEUDO
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float64)


def psi(reference: Counts, batch: Counts) -> Counts:
    """Return sum (p - q) ln(p / q) along the last axis, on smoothed shares."""
    p, q = smoothed(reference), smoothed(batch)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1), dtype=np.float64)


def jsd(reference: Counts, batch: Counts) -> Counts:
    """Return the Jensen-Shannon divergence along the last axis, both sides weighing the same; at most ln 2."""
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = batch / batch.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    return np.asarray((_relative(p, middle) + _relative(q, middle)) / 2, dtype=np.float64)


def _relative(p: Counts, q: Counts) -> Counts:
    """Return sum p ln(p / q), where 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log(ratio)).sum(axis=-1), dtype=np.float64)


def ks_distance(sample: Counts, numbers: Counts, weights: Counts) -> float:
    """Return the greatest difference between two empirical distribution functions.

    Args:
        sample: Ascending sample of the reference, each of equal weight.
        numbers: Numbers of the batch.
        weights: Their weights.
    """
    order = np.argsort(numbers, kind="stable")
    ascending, share = numbers[order], np.concatenate([[0.0], np.cumsum(weights[order]) / weights.sum()])
    at = np.union1d(sample, ascending)
    reference = np.searchsorted(sample, at, side="right") / len(sample)
    batch = share[np.searchsorted(ascending, at, side="right")]
    return float(np.max(np.abs(reference - batch)))
