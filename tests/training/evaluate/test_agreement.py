"""Agreement of two annotators against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from osler_training.evaluate.agreement import label_agreement


def test_kappa_is_that_of_scikit_learn_on_what_both_answered() -> None:
    draw = np.random.default_rng(0)
    first = draw.integers(0, 2, (300, 4)).astype(float)
    second = np.where(draw.random(first.shape) < 0.2, 1 - first, first)
    second[:, 2] = first[:, 2]
    second[draw.random(first.shape) < 0.3] = np.nan
    first[:, 3] = second[:, 3] = 1.0
    found = label_agreement(first, second, [f"p{i}" for i in range(300)], list("abcd"), seed=0, replicates=200)
    for c, one in enumerate(found):
        both = ~np.isnan(second[:, c])
        assert one.n == both.sum()
        assert one.same.value == pytest.approx((first[both, c] == second[both, c]).mean())
        if one.concept != "d":
            assert one.kappa.value == pytest.approx(cohen_kappa_score(first[both, c], second[both, c]))
    assert found[0].kappa.ci[0] < found[0].kappa.value < found[0].kappa.ci[1] < 0.8
    assert found[2].kappa.ci == (1, 1)
    assert np.isnan(found[3].kappa.value)  # both always say yes: nothing was asked


def test_a_concept_that_one_of_them_never_answered_is_left_out() -> None:
    first = np.array([[1.0, np.nan], [0.0, np.nan]])
    found = label_agreement(first, np.nan_to_num(first), ["p", "q"], ["a", "b"], seed=0, replicates=5)
    assert [one.concept for one in found] == ["a"]
