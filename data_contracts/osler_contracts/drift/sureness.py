"""What chance alone makes of these figures at these sample sizes, and what could be seen at all.

If both sides come from one distribution over k cells, then PSI and 8 JSD are distributed as (1/n + 1/m) chi2 with k - 1
degrees of freedom (both are Pearson's statistic to second order). Where a cell is too thin for that, the null is drawn
instead: multinomial counts of n and m units from the pooled shares.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import gammaln

from osler_contracts.drift.divergence import Counts, jsd, psi

DRAWS = 4000
# Cochran's rule: fewest expected units in a cell for chi-square.
LEAST_EXPECTED = 5.0
# Largest product of two sample sizes for which the distribution of the Kolmogorov-Smirnov distance is counted out.
EXACT = 100_000
POWER = 0.8
COVER = 0.95


@dataclass(frozen=True)
class Null:
    """The null distribution of PSI and JSD for a field.

    Attributes:
        n: Units of the reference.
        m: Units of the batch.
        cells: Cells that either side uses.
        psi_draws: Sorted draws of PSI, None where chi-square holds.
        jsd_draws: The same of JSD.
    """

    n: float
    m: float
    cells: int
    psi_draws: Counts | None = None
    jsd_draws: Counts | None = None

    @property
    def scale(self) -> float:
        """1/n + 1/m."""
        return 1 / self.n + 1 / self.m

    @property
    def method(self) -> str:
        """`chi-square` or `drawn`."""
        return "chi-square" if self.psi_draws is None else "drawn"

    def p_psi(self, value: float) -> float:
        """Return the chance of a PSI at least as great."""
        return self._p(value, self.psi_draws, 1.0)

    def p_jsd(self, value: float) -> float:
        """Return the chance of a JSD at least as great."""
        return self._p(value, self.jsd_draws, 8.0)

    def psi_threshold(self, level: float) -> float:
        """Return the PSI that chance exceeds at this rate."""
        return self._threshold(level, self.psi_draws, 1.0)

    def jsd_threshold(self, level: float) -> float:
        """Return the JSD that chance exceeds at this rate."""
        return self._threshold(level, self.jsd_draws, 8.0)

    def detectable(self, level: float) -> float:
        """Return the smallest true PSI that is found four times of five at this level."""
        return detectable_psi(self.cells - 1, self.scale, level)

    def _p(self, value: float, draws: Counts | None, factor: float) -> float:
        if self.cells < 2:
            return 1.0
        if draws is None:
            return float(stats.chi2.sf(factor * value / self.scale, self.cells - 1))
        # A draw that equals the value up to rounding is as great as it.
        above = len(draws) - np.searchsorted(draws, value - 1e-12, side="left")
        return float((1 + above) / (1 + len(draws)))

    def _threshold(self, level: float, draws: Counts | None, factor: float) -> float:
        if self.cells < 2:
            return 0.0
        if draws is None:
            return float(stats.chi2.isf(level, self.cells - 1) * self.scale / factor)
        return float(np.quantile(draws, 1 - level))


def null_of(reference: Counts, batch: Counts, name: str) -> Null:
    """Return the null distribution for two sets of counts over the same cells.

    Args:
        reference: Units in each cell; cells that both sides lack are to be left out.
        batch: The same of the batch.
        name: Seeds the draws, so that the same data give the same answer.
    """
    n, m, cells = float(reference.sum()), float(batch.sum()), len(reference)
    pooled = (reference + batch) / (n + m)
    if cells < 2 or pooled.min() * min(n, m) >= LEAST_EXPECTED:
        return Null(n, m, cells)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    left = rng.multinomial(max(round(n), 1), pooled, size=DRAWS).astype(np.float64)
    right = rng.multinomial(max(round(m), 1), pooled, size=DRAWS).astype(np.float64)
    return Null(n, m, cells, np.sort(psi(left, right)), np.sort(jsd(left, right)))


def psi_interval(value: float, null: Null) -> tuple[float, float]:
    """Return a 95% interval of the true PSI: those whose noncentral chi-square makes the value found no surprise.

    Exact near the null only; in simulations of ten cells it covers 90% to 98% up to a PSI of 1.3.
    """
    if null.cells < 2:
        return 0.0, 0.0
    freedom, at = null.cells - 1, value / null.scale

    def shift(chance: float) -> float:
        if stats.chi2.cdf(at, freedom) <= chance:
            return 0.0
        return float(brentq(lambda x: stats.ncx2.cdf(at, freedom, x) - chance, 1e-12, 2 * at + 100))

    return shift((1 + COVER) / 2) * null.scale, shift((1 - COVER) / 2) * null.scale


def unbiased_psi(value: float, null: Null) -> float:
    """Return PSI less what chance adds to it on average."""
    return max(value - (null.cells - 1) * null.scale, 0.0)


def detectable_psi(freedom: int, scale: float, level: float) -> float:
    """Return the PSI whose test has the power `POWER`, by the noncentral chi-square; 0 without degrees of freedom."""
    return _detectable_shift(freedom, level) * scale if freedom > 0 else 0.0


@lru_cache(maxsize=256)
def _detectable_shift(freedom: int, level: float) -> float:
    critical = stats.chi2.isf(level, freedom)
    return float(brentq(lambda shift: stats.ncx2.sf(critical, freedom, shift) - POWER, 1e-6, 1e4))


def ks_p(distance: float, n: int, m: int) -> float:
    """Return the chance of a Kolmogorov-Smirnov distance at least as great: exact for small samples, else asymptotic."""
    if n * m <= EXACT:
        return 1.0 - _chance_within(distance, n, m)
    return float(stats.kstwo.sf(distance, round(n * m / (n + m))))


@lru_cache(maxsize=256)
def ks_threshold(n: int, m: int, level: float) -> float:
    """Return the distance that chance exceeds at this rate at most."""
    if n * m > EXACT:
        return float(stats.kstwo.isf(level, round(n * m / (n + m))))
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if ks_p(middle, n, m) <= level else (middle, high)
    return high


def _chance_within(distance: float, n: int, m: int) -> float:
    """Return the share of orders of n and m values whose distance stays below one.

    An order is a path from (0, 0) to (n, m) by single steps, its distance the greatest |i/n - j/m| on the way (Hodges,
    1958). Paths that stay within are counted row by row, and scaled so that no count overflows.
    """
    at = np.arange(n + 1) / n
    paths, logarithm = np.zeros(n + 1), 0.0
    paths[0] = 1.0
    for row in range(m + 1):
        within = np.abs(at - row / m) < distance - 1e-9
        paths = np.cumsum(np.where(within, paths, 0.0)) * within
        top = paths.max()
        if top == 0:
            return 0.0
        paths, logarithm = paths / top, logarithm + np.log(top)
    every = gammaln(n + m + 1) - gammaln(n + 1) - gammaln(m + 1)
    return float(min(paths[-1] * np.exp(logarithm - every), 1.0))
