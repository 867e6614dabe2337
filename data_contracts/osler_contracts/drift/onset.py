"""Since when: the arrival from which a field looks unlike its reference.

The start of the new regime is the one that makes the arrivals most likely: those before it follow the reference, those
from it on a distribution of their own. With S the counts from arrival t on and q their shares, the gain over the
reference p is g(t) = sum_k S_k ln(q_k / p_k), and its greatest value is at the most likely start (a generalised likelihood
ratio scan). One change that lasts is looked for; what came and went shows as moved or not by `compare` alone.

Whether a later start is told apart from "from the first arrival on" is settled by permuting the arrivals. The interval
holds the starts whose gain is short of the best by no more than a start as strong as this one would be in 95 of 100
series drawn afresh from both sides of it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osler_contracts.drift.divergence import Counts, smoothed

PERMUTATIONS = 499
SERIES = 200
LEVEL = 0.05
# Fewest arrivals that make a regime.
LEAST_TAIL = 5
# Longer series are cut into this many stretches; the start is then known by the stretch.
STRETCHES = 1000


@dataclass(frozen=True)
class Onset:
    """The arrival from which a field moved.

    Attributes:
        at: Index of that arrival, from 0.
        low: First index of the 95% interval.
        high: Last index of the interval.
        p: Chance of a start inside the series as clear as this one where there is none.
    """

    at: int
    low: int
    high: int
    p: float

    @property
    def inside(self) -> bool:
        """Whether the move began after the first arrival; else it was there from the start, or earlier."""
        return self.at > 0


def find_onset(shares: Counts, reference: Counts, name: str) -> Onset | None:
    """Find since when a field moved, None where the arrivals are too few.

    Args:
        shares: Share of each arriving unit in each cell, (units, cells), in the order of arrival.
        reference: Units of the reference in each cell.
        name: Seeds the draws.
    """
    if len(shares) < 2 * LEAST_TAIL:
        return None
    step = -(-len(shares) // STRETCHES)
    starts = np.arange(0, len(shares), step)
    series = np.add.reduceat(shares, starts, axis=0)
    shown = np.log(smoothed(reference))
    last = max(len(series) - -(-LEAST_TAIL // step), 1)
    rng = np.random.default_rng(zlib.crc32(name.encode()) + 2)
    gains = _gains(series, shown, last)
    best = int(np.argmax(gains))
    clear = gains[best] - gains[0]
    shuffled = [_clearest(series[rng.permutation(len(series))], shown, last) for _ in range(PERMUTATIONS)]
    p = (1 + int(np.sum(np.array(shuffled) >= clear - 1e-9))) / (1 + PERMUTATIONS)
    if p > LEVEL:
        best = 0
    slack = _slack(series, shown, best, last, rng)
    near = np.flatnonzero(gains >= gains[best] - slack)
    ends = [*starts[1:], len(shares)]
    return Onset(int(starts[best]), int(starts[min(near[0], best)]), int(ends[max(near[-1], best)] - 1), p)


def _gains(series: Counts, shown: Counts, last: int) -> NDArray[np.float64]:
    """Return g(t) for t = 0 .. last - 1."""
    tails = np.cumsum(series[::-1], axis=0)[::-1][:last]
    shares = tails / tails.sum(axis=1, keepdims=True)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray((tails * (logs - shown)).sum(axis=1), dtype=np.float64)


def _clearest(series: Counts, shown: Counts, last: int) -> float:
    gains = _gains(series, shown, last)
    return float(gains.max() - gains[0])


def _slack(series: Counts, shown: Counts, start: int, last: int, rng: np.random.Generator) -> float:
    """Return how far the true start falls short of the best in 95 of 100 series like this one."""
    short = []
    for _ in range(SERIES):
        before = rng.integers(0, max(start, 1), start)
        after = rng.integers(start, len(series), len(series) - start)
        gains = _gains(series[np.concatenate([before, after])], shown, last)
        short.append(float(gains.max() - gains[start]))
    return float(np.quantile(short, 1 - LEVEL))
