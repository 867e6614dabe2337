"""Metrics against scikit-learn and against closed cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from osler_training.evaluate.metrics import (
    METRICS,
    auroc,
    balanced_accuracy,
    binary_auroc,
    brier,
    ece,
    worst_class_accuracy,
)


def sample(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    prob = rng.integers(1, 12, size=(n, classes)).astype(float)  # few levels, so that scores tie
    return y, prob / prob.sum(1, keepdims=True)


@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(2, 4))
def test_against_scikit_learn_with_and_without_weights(seed: int, n: int, classes: int) -> None:
    y, prob = sample(seed, n, classes)
    weights = np.vstack([np.ones(n), np.random.default_rng(seed).integers(1, 4, size=n)])
    for r, w in enumerate(weights):
        score = prob[:, 1] if classes == 2 else prob
        predicted = prob.argmax(1)
        want = {
            "accuracy": reference.accuracy_score(y, predicted, sample_weight=w),
            "balanced_accuracy": reference.balanced_accuracy_score(y, predicted, sample_weight=w),
            "auroc": reference.roc_auc_score(
                y, score, sample_weight=w, **({} if classes == 2 else {"multi_class": "ovr"})
            ),
        }
        for name, value in want.items():
            assert METRICS[name](y, prob, weights)[r] == pytest.approx(value), name


@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(2, 4))
def test_a_weight_of_two_is_a_row_twice(seed: int, n: int, classes: int) -> None:
    y, prob = sample(seed, n, classes)
    counts = np.random.default_rng(seed).integers(0, 3, size=n)
    counts[:classes] += 1
    twice = np.repeat(np.arange(n), counts)
    for name, metric in METRICS.items():
        weighted = metric(y, prob, counts[None].astype(float))
        repeated = metric(y[twice], prob[twice], np.ones((1, len(twice))))
        assert weighted == pytest.approx(repeated), name


def test_calibration_on_closed_cases() -> None:
    ones = np.ones((1, 10))
    y = np.array([0] * 8 + [1] * 2)
    assert ece(y, np.eye(2)[y], ones)[0] == 0  # confident and right
    assert ece(y, np.tile([0.8, 0.2], (10, 1)), ones)[0] == pytest.approx(0)  # .8 and right in 80%
    half = np.array([0, 1] * 5)
    assert ece(half, np.tile([1.0, 0.0], (10, 1)), ones)[0] == pytest.approx(0.5)  # certain, right in half


def test_brier_is_twice_the_binary_score_of_scikit_learn() -> None:
    y, prob = sample(5, 40, 2)
    assert brier(y, prob, np.ones((1, 40)))[0] == pytest.approx(2 * reference.brier_score_loss(y, prob[:, 1]))


def test_the_worst_class_on_a_hand_table() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    prob = np.eye(2)[[0, 0, 0, 1, 1, 0, 0, 0]]
    assert worst_class_accuracy(y, prob, np.ones((1, 8)))[0] == 0.25
    assert balanced_accuracy(y, prob, np.ones((1, 8)))[0] == 0.5


def test_a_class_that_was_not_drawn_leaves_the_metric_undefined() -> None:
    y, prob = np.array([0, 1]), np.eye(2)
    weights = np.array([[2.0, 0.0]])
    assert np.isnan(balanced_accuracy(y, prob, weights)[0])
    assert np.isnan(auroc(y, prob, weights)[0])


def test_auroc_of_equal_scores_is_a_half() -> None:
    assert binary_auroc(np.array([True, False, True]), np.zeros(3), np.ones((1, 3)))[0] == 0.5


def test_a_class_that_no_study_has_is_left_out_as_scikit_learn_does() -> None:
    y, prob = sample(3, 50, 4)
    y, ones = np.where(y == 2, 0, y), np.ones((1, 50))
    with pytest.warns(UserWarning, match="not in y_true"):
        wanted = reference.balanced_accuracy_score(y, prob.argmax(1))
    assert balanced_accuracy(y, prob, ones)[0] == pytest.approx(wanted)
    recalls = reference.recall_score(y, prob.argmax(1), labels=[0, 1, 3], average=None)
    assert worst_class_accuracy(y, prob, ones)[0] == pytest.approx(recalls.min())
    areas = [reference.roc_auc_score(y == k, prob[:, k]) for k in (0, 1, 3)]
    assert auroc(y, prob, ones)[0] == pytest.approx(np.mean(areas))
