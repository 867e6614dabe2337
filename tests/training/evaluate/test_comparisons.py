"""Differences, p-values, many comparisons, seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.comparisons import corrected, over_seeds, p_value, paired_differences


def of_values(values: np.ndarray, weights: np.ndarray) -> Estimate:
    return Estimate(float(values.mean()), weights @ values / weights.sum(1))


def test_p_is_near_that_of_the_t_test_and_uniform_enough() -> None:
    draw = np.random.default_rng(0)
    weights = patient_weights([str(i) for i in range(200)], seed=0, replicates=4000)
    for shift in (0.0, 0.1, 0.2):
        values = draw.normal(shift, 1, size=200)
        assert p_value(of_values(values, weights)) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.03)
    drawn = [p_value(of_values(draw.normal(size=200), weights[:500])) for _ in range(300)]
    assert 0.02 <= np.mean(np.array(drawn) < 0.05) <= 0.09


def test_p_of_no_difference_is_one_and_of_nothing_is_nan() -> None:
    zero = Estimate(0.0, np.zeros(100))
    assert p_value(zero) == 1.0
    assert np.isnan(p_value(Estimate(0.0, np.full(5, np.nan))))
    assert p_value(Estimate(1.0, np.ones(99))) == pytest.approx(2 / 100)


def test_correction_on_a_hand_table_leaves_nan_alone() -> None:
    # Benjamini-Hochberg: p times 3 over its rank, made monotone from the largest down.
    assert corrected([0.01, float("nan"), 0.04, 0.03])[::2] == pytest.approx([0.03, 0.04])
    found = corrected([0.01, float("nan"), 0.04, 0.03])
    assert np.isnan(found[1])
    assert found[3] == pytest.approx(0.04)
    strict = corrected([0.01, 0.04, 0.03], dependent=True)
    assert strict == pytest.approx(np.minimum(1, np.array([0.03, 0.04, 0.04]) * (1 + 1 / 2 + 1 / 3)))
    assert np.isnan(corrected([float("nan")])[0])


def test_differences_are_of_what_both_have() -> None:
    one, other = Estimate(1.0, np.ones(3)), Estimate(0.4, np.full(3, 0.5))
    found = paired_differences({"a": one, "b": one}, {"a": other})
    assert set(found) == {"a"}
    assert found["a"].value == pytest.approx(0.6)


def test_seeds_widen_an_interval_by_their_own_spread() -> None:
    draw = np.random.default_rng(1)
    shared = draw.normal(0, 0.02, size=20_000)  # patients, drawn alike for every seed
    values = draw.normal(0.8, 0.05, size=25)
    found = over_seeds([Estimate(v, v + shared) for v in values], seed=0)
    assert found.mean.value == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std(ddof=1))
    assert found.seeds == 25
    assert found.mean.replicates.std() == pytest.approx(np.hypot(0.02, values.std() / 5), rel=0.05)
    fixed = over_seeds([Estimate(v, v + shared) for v in values], seed=0, fixed_seeds=True)
    assert fixed.mean.replicates.std() == pytest.approx(0.02, rel=0.05)


def test_one_seed_has_no_deviation() -> None:
    one = Estimate(0.5, np.array([0.4, 0.6]))
    found = over_seeds([one], seed=0)
    assert np.isnan(found.deviation)
    np.testing.assert_array_equal(found.mean.replicates, one.replicates)
