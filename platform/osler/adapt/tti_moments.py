"""The steps of `tti_affine` (methods, M2.3): moments of concepts at a site against the source's.

Shapes: `means` (K, C) are the means of each class at the site; the source's deviations within classes stand for the site's,
which few shots cannot tell.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from osler.adapt.tti_steps import Labels, significant
from osler.bottleneck.records import Array, BoolArray
from osler.bottleneck.source import SourceReference

_TINY = 1e-9


def spread_ratio(source: SourceReference, means: Array) -> Array:
    """Return the deviation between classes at the source over that at the site (C,); 1 where the source has none."""
    there = source.mean.std(axis=0)
    return np.where(there > _TINY, there / np.maximum(means.std(axis=0), _TINY), 1.0)


def moved(means: Array, y: Labels, source: SourceReference, fdr: float) -> BoolArray:
    """Return which concepts' class-balanced means (C,) are off beyond chance, to either side."""
    z = (means - source.mean).mean(axis=0) / (np.sqrt(_variance(y, source).sum(axis=0)) / len(means))
    return significant(z, fdr, two_sided=True)


def narrowed(means: Array, y: Labels, source: SourceReference, fdr: float) -> BoolArray:
    """Return which concepts tell the classes apart less than at the source (C,), beyond chance.

    The classes' deviations at the site are regressed on those at the source; a slope below one is what a gain mends.
    """
    there, here = source.mean - source.neutral, means - means.mean(axis=0)
    size = np.maximum((there**2).sum(axis=0), _TINY)
    slope = (there * here).sum(axis=0) / size
    error = np.sqrt((there**2 * _variance(y, source)).sum(axis=0)) / size
    return significant((1 - slope) / np.maximum(error, _TINY), fdr)


def aurocs(values: Array, y: Labels, source: SourceReference) -> tuple[Array, Array]:
    """Return the AUROC of each concept (C,) against "the source says that the class has it", and its error under chance.

    NaN where the shots are all of one kind.
    """
    has = (source.mean > source.neutral)[y]
    positive = has.sum(axis=0)
    negative = len(y) - positive
    pairs = np.where((positive > 0) & (negative > 0), positive * negative, np.nan)
    above = (rankdata(values, axis=0) * has).sum(axis=0) - positive * (positive + 1) / 2
    return above / pairs, np.sqrt((len(y) + 1) / (12 * pairs))


def misfires(values: Array, y: Labels, source: SourceReference, errors: float) -> BoolArray:
    """Return which concepts (C,) point the wrong way by more than so many standard errors."""
    ranked, error = aurocs(values, y, source)
    return np.asarray(np.nan_to_num(ranked - 0.5 + errors * error, nan=0.0) < -_TINY)


def _variance(y: Labels, source: SourceReference) -> Array:
    """Return the variance (K, C) of the difference of a class's means at the site and at the source."""
    shots = np.bincount(y, minlength=len(source.mean))
    return np.asarray(source.std**2 * (1 / shots + 1 / source.counts)[:, None])
