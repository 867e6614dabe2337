"""How far a concept moved: in standard deviations of the source, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from osler.bottleneck.records import Array

COVER = 0.95


@dataclass(frozen=True)
class Effect:
    """Glass's delta: the difference of means over the standard deviation of the source.

    Attributes:
        value: The difference, above 0 where the concept is higher than at the source.
        low: Lower end of its 95% interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def glass_delta(source: Array, arrivals: Array) -> Effect:
    """Return how far the mean of arrivals (m,) is from that of the source (n,); 0 where the source never varies and neither did.

    The interval is that of the delta method with unequal variances: `1/n + (s_m / s_n)^2 / m + d^2 / (2 n)` is the variance.
    A source that does not vary is taken as if it varied as much as the arrivals.
    """
    n, m = len(source), len(arrivals)
    sd, own = (float(x.std(ddof=1)) if len(x) > 1 else 0.0 for x in (source, arrivals))
    scale = sd if sd > 1e-9 else own
    if scale <= 1e-9:
        return Effect(0.0, 0.0, 0.0)
    d = float(arrivals.mean() - source.mean()) / scale
    half = float(norm.ppf((1 + COVER) / 2) * np.sqrt(1 / n + (own / scale) ** 2 / m + d**2 / (2 * n)))
    return Effect(d, d - half, d + half)
