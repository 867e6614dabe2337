"""Figures over draws and patients: balanced accuracy, gains, harm, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binomtest

from osler.bottleneck.records import Array, BoolArray
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.metrics import Labels

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Resampling:
    """The bootstrap of one test half, the same for everything that is compared on it.

    Attributes:
        y: Class index (n,).
        patients: Pseudonym of each study (n,).
        seed: Seed.
        replicates: Number of replicates.
    """

    y: Labels
    patients: Sequence[str]
    seed: int
    replicates: int

    @cached_property
    def weights(self) -> Array:
        """Weights (R, n) under which a sum of right predictions is a balanced accuracy.

        Each class counts alike; one that a replicate does not draw is left out of it.
        """
        drawn = patient_weights(self.patients, seed=self.seed, replicates=self.replicates)
        balanced = np.zeros_like(drawn)
        totals = np.stack([drawn[:, self.y == k].sum(1) for k in np.unique(self.y)], axis=1)
        present = (totals > 0).sum(1)
        for place, k in enumerate(np.unique(self.y)):
            total = totals[:, place, None]
            balanced[:, self.y == k] = drawn[:, self.y == k] / np.where(total > 0, total, 1) / present[:, None]
        return balanced

    @cached_property
    def plain(self) -> Array:
        """The same weights (n,) of the test half as it is."""
        classes, counts = np.unique(self.y, return_counts=True)
        share = dict(zip(classes.tolist(), (1 / counts / len(classes)).tolist(), strict=True))
        return np.array([share[k] for k in self.y.tolist()])

    def draws(self, S: int) -> Array:
        """Return how often each of S draws is drawn, as shares (R, S); the same for all that have as many."""
        if S == 1:
            return np.ones((self.replicates, 1))
        rng = np.random.default_rng([self.seed, S, 0xD7A])
        return rng.multinomial(S, np.full(S, 1 / S), size=self.replicates) / S

    def accuracy(self, right: BoolArray) -> Estimate:
        """Return the balanced accuracy of right predictions (S, n), averaged over the draws.

        Draws and patients are drawn with replacement in every replicate, each on its own.
        """
        averaged = self.draws(len(right)) @ right.astype(float)
        return Estimate(float((right @ self.plain).mean()), (averaged * self.weights).sum(1))

    def each(self, right: BoolArray) -> Array:
        """Return the balanced accuracy of every draw (S,)."""
        return np.asarray(right @ self.plain)

    def recalls(self, right: BoolArray) -> Array:
        """Return the recall of every class in every draw (S, K)."""
        return np.stack([right[:, self.y == k].mean(1) for k in np.unique(self.y)], axis=1)


def upper_bound(harmed: int, draws: int) -> float:
    """Return the one-sided 95% Clopper-Pearson bound of a share.

    It is about draws of supports. All of them are judged on one test half: what that half has of chance is not in it.
    """
    interval = binomtest(harmed, draws, alternative="less").proportion_ci(LEVEL, method="exact")
    return float(interval.high)


def lower_bound(hits: int, draws: int) -> float:
    """Return the one-sided 95% Clopper-Pearson bound of a share, from below."""
    interval = binomtest(hits, draws, alternative="greater").proportion_ci(LEVEL, method="exact")
    return float(interval.low)


def harm(after: Array, before: Array | float, margin: float) -> tuple[int, int]:
    """Return in how many draws the accuracy (S,) is more than a margin below another, and the number of draws.

    What lies on the margin, save for rounding, is no harm.
    """
    return int((after < np.asarray(before) - margin - 1e-9).sum()), len(after)


def overtaken_from(ours: dict[int, float], rival: dict[int, float]) -> int | None:
    """Return the fewest shots from which a rival is ahead and stays ahead, None where it is not at the most shots."""
    found = None
    for n in sorted(ours.keys() & rival.keys(), reverse=True):
        if rival[n] <= ours[n]:
            break
        found = n
    return found
