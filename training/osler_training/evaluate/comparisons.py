"""Differences, seeds and many comparisons (M19.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from osler_training.evaluate.bootstrap import Estimate


def p_value(difference: Estimate) -> float:
    """Return the two-sided bootstrap p of no difference: twice the share of replicates on the rarer side of zero.

    With R replicates no p is below 2 / (R + 1). It is 1 where every replicate is zero, NaN where none is defined.
    """
    drawn = difference.replicates[~np.isnan(difference.replicates)]
    if not len(drawn):
        return float("nan")
    rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(drawn) + 1)))


def corrected(p_values: Sequence[float], *, dependent: bool = False) -> list[float]:
    """Return p-values that control the share of false discoveries (Benjamini-Hochberg); NaN stays NaN.

    Args:
        p_values: One a comparison.
        dependent: Hold under any dependence (Benjamini-Yekutieli), at the cost of power.
    """
    every = np.asarray(p_values, float)
    known = ~np.isnan(every)
    if known.any():
        every = every.copy()
        every[known] = stats.false_discovery_control(every[known], method="by" if dependent else "bh")
    return [float(one) for one in every]


def paired_differences(first: Mapping[str, Estimate], second: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return first minus second of every figure that both have; both were drawn with the same weights."""
    return {name: one.minus(second[name]) for name, one in first.items() if name in second}


@dataclass(frozen=True)
class OverSeeds:
    """A figure over seeds, or over support draws.

    Attributes:
        mean: Their mean. Its interval draws patients only where `over_patients`, otherwise seeds and patients.
        deviation: Standard deviation between seeds, NaN for one seed.
        seeds: How many there are.
    """

    mean: Estimate
    deviation: float
    seeds: int


def over_seeds(estimates: Sequence[Estimate], *, seed: int, fixed_seeds: bool = False) -> OverSeeds:
    """Return the mean over seeds, its interval drawn over seeds and patients alike.

    Each replicate draws as many seeds as there are, with replacement, and takes their figures on the same draw of patients:
    the interval then speaks of a new seed and new patients. A mean over few seeds has an interval that is too narrow in its
    share of the seeds; five or more are asked for.

    Args:
        estimates: One figure a seed, their replicates drawn with the same weights.
        seed: Seed of the draw of seeds.
        fixed_seeds: Draw patients only: the interval speaks of these very models.
    """
    values = np.array([one.value for one in estimates])
    replicates = np.stack([one.replicates for one in estimates])
    S, R = replicates.shape
    if fixed_seeds:
        drawn = replicates.mean(0)
    else:
        picks = np.random.default_rng(seed).integers(S, size=(S, R))
        drawn = np.take_along_axis(replicates, picks, axis=0).mean(0)
    deviation = float(values.std(ddof=1)) if S > 1 else float("nan")
    return OverSeeds(Estimate(float(values.mean()), drawn), deviation, S)
