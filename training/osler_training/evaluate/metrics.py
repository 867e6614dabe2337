"""Metrics of classifiers, each as a function of sample weights, so that one bootstrap serves them all.

Every metric takes `y` (n,), class probabilities `prob` (n, K) and `weights` (R, n), and returns R values: one for each row
of weights. A row of ones gives the point estimate; rows of counts give bootstrap replicates. A metric that a row of weights
leaves undefined (a class that was not drawn) is NaN there. A class that no study has is left out of means over classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array

Labels = NDArray[np.intp]
Metric = Callable[[Labels, Array, Array], Array]
BINS = 15


def ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, NaN or infinite where the whole is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, dtype=float)


def correct(y: Labels, prob: Array) -> Array:
    """Return 1 where the most probable class (the first among equals) is the true one (n,)."""
    return np.asarray(prob.argmax(1) == y, dtype=float)


def accuracy(y: Labels, prob: Array, weights: Array) -> Array:
    """Share of right predictions."""
    return ratio(weights @ correct(y, prob), weights.sum(1))


def class_accuracies(y: Labels, prob: Array, weights: Array) -> Array:
    """Recall of each class (R, K); NaN where a class has no weight."""
    member = np.eye(prob.shape[1])[y]
    return ratio(weights @ (member * correct(y, prob)[:, None]), weights @ member)


def balanced_accuracy(y: Labels, prob: Array, weights: Array) -> Array:
    """Mean recall over the classes that some study has; NaN where one of them was not drawn."""
    return np.asarray(class_accuracies(y, prob, weights)[:, np.unique(y)].mean(1))


def worst_class_accuracy(y: Labels, prob: Array, weights: Array) -> Array:
    """Recall of the class that fares worst, of those that some study has."""
    return np.asarray(class_accuracies(y, prob, weights)[:, np.unique(y)].min(1))


def _levels(score: Array, positive: NDArray[Any], weights: Array) -> tuple[Array, Array]:
    """Return the weight of each level of tied scores, and of its positives (R, levels); rows come sorted by score."""
    up = weights * positive
    starts = np.flatnonzero(np.diff(score, prepend=-np.inf) > 0)
    if len(starts) == len(score):
        return weights, up
    return np.add.reduceat(weights, starts, axis=1), np.add.reduceat(up, starts, axis=1)


def binary_auroc(positive: NDArray[Any], score: Array, weights: Array) -> Array:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties counting half.

    Args:
        positive: True for positives (n,).
        score: Scores (n,).
        weights: Sample weights (R, n).
    """
    order = np.argsort(score, kind="stable")
    level, up = _levels(score[order], np.asarray(positive)[order], weights[:, order])
    down = level - up
    below = np.cumsum(down, axis=1) - down
    return ratio((up * (below + down / 2)).sum(1), up.sum(1) * down.sum(1))


def auroc(y: Labels, prob: Array, weights: Array) -> Array:
    """AUROC: of class 1 where K = 2, where K > 2 the mean of one class against the rest, over classes that some study has."""
    if prob.shape[1] == 2:
        return binary_auroc(y == 1, prob[:, 1], weights)
    return np.asarray(np.mean([binary_auroc(y == k, prob[:, k], weights) for k in np.unique(y)], axis=0))


def average_precision(positive: NDArray[Any], score: Array, weights: Array) -> Array:
    """Area under the precision-recall curve by steps, `sum (R_i - R_{i-1}) P_i`; tied scores are one step.

    Args:
        positive: True for positives (n,).
        score: Scores (n,).
        weights: Sample weights (R, n).
    """
    order = np.argsort(-score, kind="stable")
    level, up = _levels(-score[order], np.asarray(positive)[order], weights[:, order])
    precision = np.nan_to_num(ratio(np.cumsum(up, axis=1), np.cumsum(level, axis=1)))
    return ratio((up * precision).sum(1), up.sum(1))


def equal_width_bins(prob: Array) -> NDArray[np.intp]:
    """Return the bin of each probability, of 15 of equal width.

    Bins are closed on the right, as in Guo et al. 2017, so that a confidence of 1 has a bin.
    """
    return np.clip(np.ceil(prob * BINS).astype(np.intp) - 1, 0, BINS - 1)


def ece(y: Labels, prob: Array, weights: Array) -> Array:
    """Expected calibration error of the winning class: 15 bins of equal width, `sum |B|/n |acc - conf|`."""
    confidence = prob.max(1)
    bins = np.eye(BINS)[equal_width_bins(confidence)]
    excess = weights @ (bins * (correct(y, prob) - confidence)[:, None])
    return ratio(np.abs(excess).sum(1), weights.sum(1))


def brier(y: Labels, prob: Array, weights: Array) -> Array:
    """Brier score: the squared error summed over the classes, in [0, 2]."""
    return ratio(weights @ ((prob - np.eye(prob.shape[1])[y]) ** 2).sum(1), weights.sum(1))


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "worst_class_accuracy": worst_class_accuracy,
    "auroc": auroc,
    "ece": ece,
    "brier": brier,
}
