"""Chance: against SciPy's own tests, and by drawing batches in which nothing or something known moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from osler_contracts.drift.divergence import jsd, psi
from osler_contracts.drift.sureness import (
    Null,
    detectable_psi,
    ks_p,
    ks_threshold,
    null_of,
    psi_interval,
    unbiased_psi,
)

EVEN = np.full(8, 1 / 8)
SKEW = np.array([0.9, 0.06, 0.03, 0.01])


def rate_of(p: np.ndarray, n: int, m: int, batches: int) -> tuple[float, float, str]:
    """Return how often PSI and JSD fall below p = 0.05 where both sides come from p."""
    rng = np.random.default_rng([n, m, len(p)])
    low_psi = low_jsd = 0
    method = ""
    for batch in range(batches):
        left, right = rng.multinomial(n, p).astype(float), rng.multinomial(m, p).astype(float)
        used = (left + right) > 0
        left, right = left[used], right[used]
        null = null_of(left, right, f"batch {batch}")
        low_psi += null.p_psi(float(psi(left, right))) <= 0.05
        low_jsd += null.p_jsd(float(jsd(left, right))) <= 0.05
        method = null.method
    return low_psi / batches, low_jsd / batches, method


@pytest.mark.parametrize(
    ("p", "n", "m", "method"),
    [
        (EVEN, 400, 300, "chi-square"),
        (EVEN, 2000, 150, "chi-square"),
        (EVEN, 40, 20, "drawn"),
        (SKEW, 200, 60, "drawn"),
    ],
)
def test_false_alarms_come_at_the_stated_rate(p: np.ndarray, n: int, m: int, method: str) -> None:
    batches = 300
    found_psi, found_jsd, how = rate_of(p, n, m, batches)
    bound = stats.binom.ppf(0.999, batches, 0.06) / batches  # chi-square is off by up to a point at these sizes
    assert how == method
    assert max(found_psi, found_jsd) <= bound
    assert min(found_psi, found_jsd) >= 0.01


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.3])
def test_the_chance_of_jsd_is_that_of_the_g_test(shift: float) -> None:
    """With both sides of one size, 2 (n + m) JSD is the G statistic of the table."""
    tilt = np.linspace(-1, 1, 8) * shift / 8
    table = np.round(4000 * np.array([EVEN, EVEN + tilt]))
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    null = null_of(table[0], table[1], "any")
    assert 2 * table.sum() * float(jsd(table[0], table[1])) == pytest.approx(expected.statistic, rel=1e-6, abs=1e-9)
    assert null.p_jsd(float(jsd(table[0], table[1]))) == pytest.approx(expected.pvalue, rel=1e-3, abs=1e-12)


def test_thresholds_are_where_the_chance_is_the_level() -> None:
    for null in (null_of(100 * EVEN, 80 * EVEN, "wide"), null_of(20 * EVEN, 12 * EVEN, "thin")):
        assert null.p_psi(null.psi_threshold(0.05)) == pytest.approx(0.05, abs=0.002)
        assert null.p_jsd(null.jsd_threshold(0.05)) == pytest.approx(0.05, abs=0.002)
    for n, m in ((3000, 200), (300, 200)):
        assert ks_p(ks_threshold(n, m, 0.05), n, m) == pytest.approx(0.05, abs=0.002)


def test_larger_batches_have_lower_thresholds() -> None:
    thresholds = [Null(500, m, 10).psi_threshold(0.05) for m in (20, 50, 200, 1000)]
    assert thresholds == sorted(thresholds, reverse=True)
    # The rule of thumb of 0.1 holds at one size only: here it would cry at chance, there it would sleep.
    assert thresholds[0] > 0.8
    assert thresholds[-1] < 0.06


def test_the_same_data_give_the_same_answer() -> None:
    left, right = 20 * EVEN, 12 * EVEN
    one, other = null_of(left, right, "field"), null_of(left, right, "field")
    assert one.psi_draws is not None
    assert other.psi_draws is not None
    np.testing.assert_array_equal(one.psi_draws, other.psi_draws)


def tilted(shift: float) -> np.ndarray:
    """Return the shares of a shifted normal over eight cells that are even without the shift."""
    return np.diff(stats.norm.cdf(stats.norm.ppf(np.linspace(0, 1, 9)) - shift))


def test_what_is_called_detectable_is_found_four_times_of_five() -> None:
    n, m, rng = 500, 250, np.random.default_rng(8)
    least = detectable_psi(7, 1 / n + 1 / m, 0.05)
    shift = max(x for x in np.linspace(0.01, 1, 200) if np.sum((tilted(x) - EVEN) * np.log(tilted(x) / EVEN)) <= least)
    found = 0
    for batch in range(400):
        left, right = rng.multinomial(n, EVEN).astype(float), rng.multinomial(m, tilted(shift)).astype(float)
        found += null_of(left, right, str(batch)).p_jsd(float(jsd(left, right))) <= 0.05
    assert 0.72 <= found / 400 <= 0.88


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.7, 1.2])
def test_the_interval_holds_the_true_psi(shift: float) -> None:
    q, rng, held, gap = tilted(shift), np.random.default_rng(4), 0, 0.0
    true = float(np.sum((q - EVEN) * np.log(q / EVEN)))
    for _ in range(300):
        left, right = rng.multinomial(400, EVEN).astype(float), rng.multinomial(200, q).astype(float)
        null, found = Null(400, 200, 8), float(psi(left, right))
        low, high = psi_interval(found, null)
        held += low <= true + 1e-12 <= high + 2e-12
        gap += (unbiased_psi(found, null) - true) / 300
    assert held / 300 >= 0.88
    assert abs(gap) < 0.03 + 0.05 * true


def test_the_chance_of_a_kolmogorov_distance_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    for n, m, method in (
        (3000, 170, "asymp"),
        (300, 170, "exact"),
        (40, 40, "exact"),
        (58, 2, "exact"),
        (1, 1, "exact"),
    ):
        for shift in (0.0, 0.3, 1.0):
            left, right = rng.normal(size=n), rng.normal(shift, size=m)
            expected = stats.ks_2samp(left, right, method=method)
            assert ks_p(expected.statistic, n, m) == pytest.approx(expected.pvalue, rel=1e-6)


def test_one_cell_has_nothing_to_say() -> None:
    null = null_of(np.array([30.0]), np.array([20.0]), "constant")
    assert (null.p_psi(0.0), null.p_jsd(0.0), null.psi_threshold(0.05), null.jsd_threshold(0.05)) == (
        1.0,
        1.0,
        0.0,
        0.0,
    )
    assert null.detectable(0.05) == 0.0
    assert psi_interval(0.0, null) == (0.0, 0.0)
