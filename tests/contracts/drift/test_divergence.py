"""Divergences against SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from osler_contracts.drift.divergence import PSEUDO, jsd, ks_distance, psi

COUNTS = st.lists(st.integers(0, 400), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_psi_and_jsd_are_those_of_scipy(left: list[int], right: list[int]) -> None:
    size = min(len(left), len(right))
    p, q = np.array(left[:size], dtype=float), np.array(right[:size], dtype=float)
    p[0], q[-1] = p[0] + 1, q[-1] + 1
    raised = [(counts + PSEUDO) / (counts + PSEUDO).sum() for counts in (p, q)]
    assert psi(p, q) == pytest.approx(stats.entropy(*raised) + stats.entropy(*reversed(raised)), abs=1e-12)
    assert jsd(p, q) == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-9)
    assert 0 <= jsd(p, q) <= math.log(2) + 1e-12
    assert psi(p, q) == pytest.approx(psi(q, p))


def test_equal_shares_are_no_distance_apart() -> None:
    p = np.array([30.0, 50.0, 20.0])
    assert jsd(p, 7 * p) == pytest.approx(0, abs=1e-12)
    assert psi(1e6 * p, 7e6 * p) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shift", [0.1, 0.32, 0.5])
def test_psi_of_a_shifted_normal_is_the_square_of_the_shift(shift: float) -> None:
    """The J-divergence of two normals of equal spread; fine cells, endless data."""
    edges = np.concatenate([[-np.inf], np.linspace(-4, 4, 400), [np.inf]])
    p, q = np.diff(stats.norm.cdf(edges)), np.diff(stats.norm.cdf(edges - shift))
    assert psi(1e9 * p, 1e9 * q) == pytest.approx(shift**2, rel=0.02)
    assert 8 * jsd(p, q) == pytest.approx(shift**2, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=40),
    st.lists(st.integers(-20, 20), min_size=1, max_size=40),
    st.lists(st.integers(1, 3), min_size=40, max_size=40),
)
def test_the_kolmogorov_distance_is_that_of_scipy_ties_and_weights_included(
    left: list[int], right: list[int], times: list[int]
) -> None:
    sample, numbers = np.sort(np.array(left, dtype=float)), np.array(right, dtype=float)
    weights = np.array(times[: len(numbers)], dtype=float)
    expected = stats.ks_2samp(sample, np.repeat(numbers, times[: len(numbers)]), method="asymp").statistic
    assert ks_distance(sample, numbers, weights) == pytest.approx(expected, abs=1e-12)
