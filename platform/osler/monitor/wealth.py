"""An alarm that may be looked at after every arrival, as often as anyone likes: conformal test martingales.

For each concept, arrival t has the rank p_t of its value among the source's values and all arrivals so far (ties broken at
random). While arrivals are exchangeable with the source, p_1, p_2, ... are independent and uniform (Vovk, Gammerman and
Shafer 2005). A bet with density f on [0, 1] multiplies its stake by f(p_t); stakes are spread over bets for "higher",
"lower", "wider" and "narrower" of several strengths, and over the arrivals from which they are placed, every tenth. The
total is a non-negative martingale that starts at 1, so the chance that it ever reaches 1/a is at most a (Ville 1939).

`1 / max_{s <= t} wealth_s` is therefore a p-value at every t at once. Holm's method over the concepts keeps the chance of
any false alarm, over all concepts and all time, at the level, whatever depends on whatever.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array

# Strengths of the bets: density b exp(b u) / (exp(b) - 1) on u = p (higher, lower) and u = |2 p - 1| (wider, narrower).
STRENGTHS = (-8.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0)
# Bets are first placed at every so many arrivals; the k-th time 1 / (k (k + 1)) of the stake is placed.
EVERY = 10
# Wealth is counted up to here: its inverse is still a number.
_LOG_RICHEST = 600.0


def conformal_ranks(source: Array, arrivals: Array, name: str) -> Array:
    """Return p_t for each arrival of one concept.

    Args:
        source: Values at the source (n,).
        arrivals: Values in the order of arrival (m,).
        name: Seeds the breaking of ties, so that the same data give the same answer.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()) + 3)
    u = rng.uniform(size=len(arrivals))
    known = np.sort(source).tolist()
    p = np.empty(len(arrivals))
    for t, value in enumerate(arrivals.tolist()):
        below, upto = bisect_left(known, value), bisect_right(known, value)
        p[t] = (below + u[t] * (upto - below + 1)) / (len(known) + 1)
        known.insert(upto, value)
    return p


def log_wealth(p: Array) -> Array:
    """Return the logarithm of the wealth (m, C) after each of the ranks (m, C), a column a concept."""
    bets = 2 * len(STRENGTHS)
    placed = np.full((p.shape[1], bets), -np.inf)
    wealth = np.empty(p.shape)
    log_kept = 0.0
    for t, ranks in enumerate(p):
        if t % EVERY == 0:
            k = t // EVERY + 1
            log_kept = -np.log(k + 1)
            placed = np.logaddexp(placed, -np.log(k * (k + 1) * bets))
        placed = placed + _log_bets(ranks)
        wealth[t] = np.logaddexp(np.logaddexp.reduce(placed, axis=1), log_kept)
    return wealth


def _log_bets(ranks: Array) -> Array:
    """Return the logarithm of each bet's density at ranks (C,), as (C, bets)."""
    b = np.array(STRENGTHS)
    u = np.stack([ranks, np.abs(2 * ranks - 1)], axis=1)
    return np.asarray((u[:, :, None] * b + np.log(b / np.expm1(b))).reshape(len(ranks), -1))


def running_p(p: Array) -> Array:
    """Return the p-values (m, C) at each arrival that hold at all of them at once; they never rise."""
    highest = np.maximum.accumulate(np.clip(log_wealth(p), 0.0, _LOG_RICHEST), axis=0)
    return np.asarray(np.exp(-highest))


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted by Holm's method: those at most a keep the chance of any false one at a."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
