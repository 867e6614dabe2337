"""Calibration errors beside the plain one: equal-count bins, class by class, concept by concept (M19.6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_training.evaluate.metrics import BINS, Labels, correct, equal_width_bins, ratio


def adaptive_ece(y: Labels, prob: Array, weights: Array) -> Array:
    """Calibration error of the winning class in 15 bins of equal count; equal confidences share a bin."""
    return _equal_count(prob.max(1), correct(y, prob), weights)


def classwise_ece(y: Labels, prob: Array, weights: Array) -> Array:
    """Mean over the classes of the calibration error of each class's probability, 15 bins of equal width."""
    errors = [probability_ece(y == k, prob[:, k], weights) for k in range(prob.shape[1])]
    return np.asarray(np.mean(errors, axis=0))


def probability_ece(positive: NDArray[np.bool_], prob: Array, weights: Array) -> Array:
    """Return the calibration error of a probability (n,) of something that is so or not (n,), per row of weights (R, n)."""
    return _equal_width(prob, np.asarray(positive, float), weights)


def probability_brier(positive: NDArray[np.bool_], prob: Array, weights: Array) -> Array:
    """Return the squared error of a probability (n,), in [0, 1], per row of weights (R, n)."""
    return ratio(weights @ (prob - positive) ** 2, weights.sum(1))


def _equal_width(prob: Array, outcome: Array, weights: Array) -> Array:
    excess = weights @ (np.eye(BINS)[equal_width_bins(prob)] * (outcome - prob)[:, None])
    return ratio(np.abs(excess).sum(1), weights.sum(1))


def _equal_count(prob: Array, outcome: Array, weights: Array) -> Array:
    """Return the error in bins that hold equal weight, cut anew for every row of weights."""
    order = np.argsort(prob, kind="stable")
    starts = np.flatnonzero(np.diff(prob[order], prepend=-np.inf) > 0)  # where each level of tied probabilities begins
    level = np.add.reduceat(weights[:, order], starts, axis=1)
    excess = np.add.reduceat((weights * (outcome - prob))[:, order], starts, axis=1)
    total = level.sum(1, keepdims=True)
    # A level goes to the bin that its middle falls into: a weight of two is then a row twice.
    middle = ratio(np.cumsum(level, axis=1) - level / 2, total)
    bins = np.clip(np.nan_to_num(middle * BINS).astype(int), 0, BINS - 1)
    flat = bins + BINS * np.arange(len(weights))[:, None]
    sums = np.bincount(flat.ravel(), excess.ravel(), BINS * len(weights)).reshape(-1, BINS)
    return ratio(np.abs(sums).sum(1), total[:, 0])
