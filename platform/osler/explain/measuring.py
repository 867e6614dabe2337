"""Figures with their intervals: shares by Wilson, AUROC by a bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from osler.bottleneck.records import Array, BoolArray
from osler.explain.explanation import Measured

LEAST = 10  # Studies of each answer from which an AUROC is reported (M19.4).
RESAMPLES = 500
_Z = 1.959963984540054  # 95%


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Return the 95% interval of a share by Wilson, which holds near 0 and 1 too; (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * float(np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: Array, where: str) -> Measured | None:
    """Return the mean of hits (n,) in [0, 1], every one of a study that shows the concept; None where there is none."""
    n = len(hits)
    if not n:
        return None
    return Measured(float(np.mean(hits)), *wilson(float(np.sum(hits)), n), n, n, where)


def measured_auroc(
    scores: Array, truth: Array, patients: Sequence[str], where: str, *, seed: int = 0, resamples: int = RESAMPLES
) -> Measured | None:
    """Return the AUROC of scores (n,) for a truth (n,) in {0, 1, NaN}; None below `LEAST` studies of either answer.

    Args:
        scores: Higher for present.
        truth: What is known; NaN is left out.
        patients: Pseudonyms (n,): they are what is drawn again.
        where: Of what studies, in words.
        seed: Of the bootstrap.
        resamples: How often patients are drawn.
    """
    known = ~np.isnan(truth)
    scores, present = scores[known], truth[known] > 0.5
    if min(present.sum(), (~present).sum()) < LEAST:
        return None
    _, place = np.unique(np.asarray(patients)[known], return_inverse=True)
    names = int(place.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(names, np.full(names, 1 / names), size=resamples)
    replicates = weighted_auroc(scores, present, drawn[:, place].astype(float))
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    value = float(weighted_auroc(scores, present, np.ones((1, len(scores))))[0])
    return Measured(value, float(low), float(high), len(scores), int(present.sum()), where)


def weighted_auroc(scores: Array, present: BoolArray, weights: Array) -> Array:
    """Return the AUROC (R,) under weights (R, n): the chance that a present study scores above an absent one, ties half."""
    rank = np.unique(scores, return_inverse=True)[1]
    levels = int(rank.max()) + 1
    to_level = np.zeros((len(scores), levels))
    to_level[np.arange(len(scores)), rank] = 1
    positive, negative = (weights * present) @ to_level, (weights * ~present) @ to_level
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((positive * (below + negative / 2)).sum(axis=1) / pairs)
