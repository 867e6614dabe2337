"""The steps of `tti_reading` (methods, M2.1), each a small function of arrays.

Values (n, C) are concept values of n studies; weights (K, C) are the head's, class-major; classes are indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from osler.bottleneck.records import Array, BoolArray
from osler.bottleneck.source import SourceReference

Labels = NDArray[np.intp]
_TINY = 1e-9


def rivals(logits: Array, y: Labels) -> Labels:
    """Return the strongest wrong class (n,) of each study."""
    rest = logits.copy()
    rest[np.arange(len(y)), y] = -np.inf
    return np.asarray(rest.argmax(axis=1))


def class_means(values: Array, y: Labels, classes: int) -> Array:
    """Return the mean of each concept in each class (K, C); NaN where a class has no study."""
    return np.stack(
        [values[y == k].mean(axis=0) if (y == k).any() else np.full(values.shape[1], np.nan) for k in range(classes)]
    )


def excess(values: Array, y: Labels, source: SourceReference) -> Array:
    """Return how far the site's class means lie above the source's, in standard errors (K, C)."""
    shots = np.bincount(y, minlength=len(source.mean)).astype(float)
    with np.errstate(divide="ignore"):
        error = source.std * np.sqrt(1 / shots + 1 / source.counts)[:, None]
    return (class_means(values, y, len(source.mean)) - source.mean) / error


def significant(z: Array, fdr: float, *, two_sided: bool = False) -> BoolArray:
    """Return which of `z` are above chance, or off it, by Benjamini and Hochberg over all that were measured."""
    measured = np.isfinite(z)
    found = np.zeros(z.shape, np.bool_)
    if measured.any():
        p = 2 * ndtr(-np.abs(z[measured])) if two_sided else ndtr(-z[measured])
        found[measured] = false_discovery_control(p, method="bh") <= fdr
    return found


def flags(values: Array, y: Labels, rival: Labels, weights: Array, neutral: Array, fires_more: BoolArray) -> BoolArray:
    """Return which concepts of which studies (n, C) speak for the rival, fire, and fire more than the source explains."""
    return np.asarray((weights[rival] > weights[y]) & (values > neutral) & fires_more[y], np.bool_)


def find_flags(
    logits: Array, values: Array, y: Labels, weights: Array, source: SourceReference, *, fdr: float
) -> tuple[BoolArray, Labels]:
    """Return the flags (n, C) of studies with these logits (n, K), and the rival (n,) of each."""
    rival = rivals(logits, y)
    fires_more = significant(excess(values, y, source), fdr)
    return flags(values, y, rival, weights, source.neutral, fires_more), rival


def confusion(values: Array, y: Labels, rival: Labels, weights: Array, neutral: Array, flagged: BoolArray) -> Array:
    """Return Q (C,): the margin lost to flagged concepts, each class counting alike."""
    lost = np.maximum(0.0, -(weights[y] - weights[rival]) * (values - neutral)) * flagged
    return np.asarray(np.mean([lost[y == k].mean(axis=0) for k in np.unique(y)], axis=0))


def agreements(flagged: BoolArray, y: Labels, classes: int) -> Array:
    """Return the share of each class's shots that flag each concept (K, C); 0 where a class has none."""
    return np.nan_to_num(class_means(flagged.astype(float), y, classes))


def link_costs(
    values: Array, y: Labels, rival: Labels, weights: Array, neutral: Array, flagged: BoolArray
) -> tuple[Array, Array]:
    """Return the margin lost to each link of a class and a concept (K, C), and the share of a class's shots that flag it.

    A flagged concept costs margin where it speaks for the rival, and where it speaks against the label: two links.
    """
    costs, agreed = np.zeros(weights.shape), np.zeros(weights.shape)
    for k, weight in enumerate(weights):
        for_rival = (rival == k)[:, None] & (weight > 0)
        against_label = (y == k)[:, None] & (weight < 0)
        hit = flagged & (for_rival | against_label)
        lost = np.abs(weight) * (values - neutral) * hit
        costs[k] = np.mean([lost[y == own].mean(axis=0) for own in np.unique(y)], axis=0)
        agreed[k] = agreements(hit, y, len(weights)).max(axis=0)
    return costs, agreed


def choose_masked(lost: Array, agreed: Array, ids: Sequence[str], *, agreement: float, share: float) -> BoolArray:
    """Return which concepts to mask (C,): the costliest of those that enough shots agree on; ties by identifier."""
    eligible = places((lost > 0) & (agreed.max(axis=0) >= agreement))
    ranked = sorted(eligible, key=lambda c: (-lost[c], ids[c]))[: ceil(share * len(ids))]
    mask = np.zeros(len(ids), np.bool_)
    mask[ranked] = True
    return mask


def source_evidence(weights: Array, means: Array) -> Array:
    """Return D (K, C): what each concept contributes at the source to telling a class from the others."""
    return (weights - _mean_of_others(weights)) * (means - _mean_of_others(means))


def _mean_of_others(rows: Array) -> Array:
    return np.asarray((rows.sum(axis=0) - rows) / (len(rows) - 1))


def claims(evidence: Array, ids: Sequence[str], share: float) -> BoolArray:
    """Return the concepts that each class rests on (K, C): the top share with positive evidence; ties by identifier."""
    claimed = np.zeros(evidence.shape, np.bool_)
    for row, own in zip(evidence, claimed, strict=True):
        ranked = sorted(places(row > 0), key=lambda c: (-row[c], ids[c]))
        own[ranked[: ceil(share * len(ids))]] = True
    return claimed


def under_activated(values: Array, y: Labels, source: SourceReference, claimed: BoolArray, fdr: float) -> BoolArray:
    """Return which concepts (K, C) a class rests on at the source (`claimed`) and shows too weakly at the site.

    A class whose evidence is a concept's absence is treated in mirror image: too weakly is then not absent enough.
    """
    side = np.sign(source.mean - source.neutral)
    weak = significant(-side * excess(values, y, source), fdr) & (side != 0)
    return np.asarray(weak & claimed, np.bool_)


def choose_gains(means: Array, weak: BoolArray, source: SourceReference, neutral: Array, max_gain: float) -> Array:
    """Return the gain of each concept (C,), 1 where none is due; the median where several classes ask for one.

    Args:
        means: Means of the concepts in each class at the site (K, C).
        weak: Which concepts each class shows too weakly (K, C).
        source: What they are compared with.
        neutral: Value of each concept that says nothing (C,).
        max_gain: Largest gain.
    """
    side = np.sign(source.mean - neutral)
    wanted = side * (source.mean - neutral) / np.maximum(side * (means - neutral), _TINY)
    gains = np.where(weak, np.clip(wanted, 1.0, max_gain), np.nan)
    gain, due = np.ones(len(neutral)), weak.any(axis=0)
    gain[due] = np.nanmedian(gains[:, due], axis=0)
    return gain


def places(chosen: BoolArray) -> list[int]:
    """Return where an array (C,) is true."""
    return [int(place) for place in np.flatnonzero(chosen)]
