"""Standardising measurements per site without labels: what differs between two laboratories in mean and spread goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LEAST = 10
_CONSTANT = 1e-6


def standardise(values: Array, sites: Sequence[str], *, least: int = LEAST) -> Array:
    """Return each measurement less its site's mean, over its site's standard deviation; no label is looked at.

    A site's mix of classes moves its mean: where the mixes of two sites differ, part of the classes' difference goes too.

    Args:
        values: Measurements (n, M); NaN stays NaN and counts for nothing.
        sites: Site of each row (n,).
        least: Fewest values of a measurement at a site that its mean is trusted with; with fewer it becomes NaN there.

    Returns:
        Standardised measurements (n, M); 0 where a measurement is the same all over a site.

    Raises:
        OslerError: `support-insufficient` where a site has fewer than `least` rows.
    """
    at = np.asarray(sites)
    if len(at) != len(values):
        raise ValueError(f"{len(values)} rows with {len(at)} sites")
    out = np.full(values.shape, np.nan)
    for site in np.unique(at):
        rows = at == site
        if rows.sum() < least:
            raise OslerError(
                Code.SUPPORT_INSUFFICIENT,
                f"A site has {int(rows.sum())} images, too few to standardise by.",
                f"Give at least {least} images of it, or use the measurements as they are.",
            )
        out[rows] = _scaled(np.asarray(values[rows], float), least)
    return out


def _scaled(values: Array, least: int) -> Array:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
    constant = spread <= _CONSTANT * np.maximum(1.0, np.abs(mean))
    scaled = np.where(constant, 0.0, (values - mean) / np.where(constant, 1.0, spread))
    return np.asarray(np.where(known & (count >= least), scaled, np.nan))
