"""Calibration errors: closed cases, scikit-learn's bins, and equal counts cut by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from osler_training.evaluate.calibration import adaptive_ece, classwise_ece, probability_brier, probability_ece
from osler_training.evaluate.metrics import BINS, ece

ERRORS = {"ece": ece, "adaptive": adaptive_ece, "classwise": classwise_ece}


@pytest.mark.parametrize("name", ERRORS)
def test_closed_cases(name: str) -> None:
    ones, y = np.ones((1, 10)), np.array([0] * 8 + [1] * 2)
    assert ERRORS[name](y, np.eye(2)[y], ones)[0] == 0  # confident and right
    assert ERRORS[name](y, np.tile([0.8, 0.2], (10, 1)), ones)[0] == pytest.approx(0)  # .8 and right in 80%
    half = np.array([0, 1] * 5)
    assert ERRORS[name](half, np.tile([1.0, 0.0], (10, 1)), ones)[0] == pytest.approx(0.5)  # certain, right in half


@given(st.integers(0, 10_000), st.integers(20, 200))
def test_equal_width_is_scikit_learns_curve_weighted_by_count(seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    prob = draw.random(n)
    positive = draw.random(n) < prob**2
    share, mean = calibration_curve(positive, prob, n_bins=BINS, strategy="uniform")
    counts = np.histogram(prob, np.linspace(0, 1, BINS + 1))[0]
    wanted = (np.abs(share - mean) * counts[counts > 0]).sum() / n
    assert probability_ece(positive, prob, np.ones((1, n)))[0] == pytest.approx(wanted)
    assert probability_brier(positive, prob, np.ones((1, n)))[0] == pytest.approx(brier_score_loss(positive, prob))


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_equal_count_is_the_sorted_table_cut_in_fifteen(seed: int, each: int) -> None:
    draw = np.random.default_rng(seed)
    n = BINS * each
    confidence = draw.permutation(np.linspace(0.51, 0.99, n))  # no ties
    y = (draw.random(n) > confidence).astype(int)
    prob = np.stack([confidence, 1 - confidence], axis=1)
    parts = np.argsort(confidence).reshape(BINS, each)
    wanted = np.mean([abs((y[part] == 0).mean() - confidence[part].mean()) for part in parts])
    assert adaptive_ece(y, prob, np.ones((1, n)))[0] == pytest.approx(wanted)


@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(2, 4))
def test_a_weight_of_two_is_a_row_twice(seed: int, n: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.integers(classes, size=n)
    prob = draw.integers(1, 12, size=(n, classes)).astype(float)
    prob /= prob.sum(1, keepdims=True)
    counts = draw.integers(0, 3, size=n)
    counts[0] += 1
    twice = np.repeat(np.arange(n), counts)
    for name, error in ERRORS.items():
        weighted = error(y, prob, counts[None].astype(float))
        assert weighted == pytest.approx(error(y[twice], prob[twice], np.ones((1, len(twice))))), name


def test_one_class_alone_can_be_wrong_about_itself() -> None:
    # The winning class is right as often as it says, while the two others swap their probabilities.
    y = np.array([0] * 6 + [1] * 4)
    prob = np.tile([0.6, 0.0, 0.4], (10, 1))
    ones = np.ones((1, 10))
    assert ece(y, prob, ones)[0] == pytest.approx(0)
    assert classwise_ece(y, prob, ones)[0] == pytest.approx(0.8 / 3)
