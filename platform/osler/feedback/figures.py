"""Shares and agreement under weights, so that patients and readers can be drawn again at one go (M19.4, M19.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
REPLICATES = 1000
LEVEL = 0.95
MISSING = -1


@dataclass(frozen=True)
class Figure:
    """A figure with its 95% interval; None is what cannot be told.

    Attributes:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end.
        n: What it counts over: readings, or studies.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def figure(values: Array, n: int) -> Figure:
    """Return a figure from its value on everything, followed by its bootstrap replicates (1 + R,)."""
    value, draws = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value):
        return Figure(None, None, None, n)
    if not len(draws):
        return Figure(value, None, None, n)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high), n)


def drawn(names: Sequence[str], *, seed: int | Sequence[int], replicates: int = REPLICATES) -> Array:
    """Return how often each row counts: once in the first line, then as its patient (or reader) is drawn (1 + R, n)."""
    _, place = np.unique(np.asarray(names), return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    if not count:
        return np.ones((1 + replicates, 0))
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    return np.vstack([np.ones((1, len(place))), draws[:, place]]).astype(float)


def share(hits: Array, weights: Array) -> Array:
    """Return the weighted mean of hits (n,) under weights (R, n); NaN where nothing is drawn."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ hits / weights.sum(1))


def cohen_kappa(first: Codes, second: Codes, weights: Array) -> Array:
    """Return Cohen's kappa (R,) of two raters (n,) under weights (R, n); NaN where both always give one same answer."""
    K = int(max(first.max(initial=0), second.max(initial=0))) + 1
    table = np.zeros((len(first), K * K))
    table[np.arange(len(first)), first * K + second] = 1
    counts = (weights @ table).reshape(-1, K, K)
    total = counts.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        same = np.trace(counts, axis1=1, axis2=2) / total
        chance = (counts.sum(1) * counts.sum(2)).sum(1) / total**2
        return np.asarray(np.where(chance < 1, (same - chance) / (1 - chance), np.nan))


def krippendorff_alpha(ratings: Codes, weights: Array) -> Array:
    """Return Krippendorff's alpha (R,) for nominal answers; any number of raters, answers may be missing.

    Args:
        ratings: A row a study, a column a rater (n, raters); `MISSING` where there is no answer.
        weights: How often each study counts (R, n).

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: coincidence matrix.
    """
    K = int(ratings.max(initial=0)) + 1
    counts = np.stack([(ratings == k).sum(1) for k in range(K)], axis=1).astype(float)  # (n, K)
    answers = counts.sum(1)
    paired = np.where(answers[:, None, None] > 1, counts[:, :, None] * counts[:, None, :] - _diagonals(counts), 0.0)
    coincidences = paired / np.maximum(answers - 1, 1)[:, None, None]
    held = (weights @ coincidences.reshape(len(ratings), -1)).reshape(-1, K, K)
    margin, total = held.sum(2), held.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = total - np.trace(held, axis1=1, axis2=2)
        expected = (total**2 - (margin**2).sum(1)) / (total - 1)
        return np.asarray(np.where(expected > 0, 1 - observed / expected, np.nan))


def _diagonals(rows: Array) -> Array:
    return np.asarray(rows[:, :, None] * np.eye(rows.shape[1]))
