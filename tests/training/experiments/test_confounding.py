"""Cohorts of any confounding out of the same patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.bottleneck.records import Features
from osler_training.experiments.confounding import Renderings
from osler_training.fit.problem import Cohort


def renderings(n: int, K: int = 2) -> Renderings:
    """Patients whose only feature is the nuisance."""
    y = np.arange(n) % K
    names = tuple(f"p{i}" for i in range(n))
    images = np.zeros((n, 2, 2), np.float32)
    return Renderings(
        Cohort(Features(np.zeros((n, 1))), y, names, images), Cohort(Features(np.ones((n, 1))), y, names, images + 1)
    )


@given(st.integers(4, 200), st.floats(-1, 1), st.integers(2, 4))
def test_the_nuisance_goes_with_the_first_class_as_far_as_asked(n: int, level: float, K: int) -> None:
    one = renderings(n, K).confounded(np.arange(n), level, np.random.default_rng(0))
    carried = one.features.pooled[:, 0]
    assert sorted(one.patients) == sorted(f"p{i}" for i in range(n))
    assert one.images is not None
    assert np.array_equal(one.images[:, 0, 0], carried)
    for k in range(K):
        want = (1 + level) / 2 if k == 0 else (1 - level) / 2
        assert abs(carried[one.y == k].sum() - want * (one.y == k).sum()) <= 0.5 + 1e-9


def test_extremes_and_tests() -> None:
    both, rows = renderings(40), np.arange(10, 30)
    full = both.confounded(rows, 1.0, np.random.default_rng(0))
    assert np.array_equal(full.features.pooled[:, 0], 1 - full.y)
    reverse = both.reversed(rows)
    assert np.array_equal(reverse.features.pooled[:, 0], reverse.y)
    balanced = both.balanced(rows)
    assert len(balanced) == 2 * len(rows)
    assert np.corrcoef(balanced.features.pooled[:, 0], balanced.y)[0, 1] == pytest.approx(0)


def test_levels_are_nested() -> None:
    both, rows = renderings(100), np.arange(100)

    def carriers(level: float) -> set[str]:
        one = both.confounded(rows, level, np.random.default_rng(5))
        return {p for p, x, y in zip(one.patients, one.features.pooled[:, 0], one.y, strict=True) if x and y == 0}

    assert carriers(0.0) < carriers(0.5) < carriers(0.95) < carriers(1.0)


def test_rows_that_do_not_match_are_refused() -> None:
    both = renderings(10)
    with pytest.raises(ValueError, match="same patients"):
        Renderings(both.off, both.on.rows(np.arange(9, -1, -1)))
