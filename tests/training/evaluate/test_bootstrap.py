"""Intervals by bootstrap over patients: coverage, pairing, and the arithmetic of ID and OOD."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from osler_training.evaluate.bootstrap import average, estimate, gap, patient_weights
from osler_training.evaluate.metrics import accuracy, ece
from osler_training.evaluate.shift import Predicted, shift_record


def predicted(share: float, n: int, prefix: str, per_patient: int = 1) -> Predicted:
    right = np.arange(n) < round(share * n)
    y = np.arange(n) % 2
    prob = np.where((right[:, None]), np.eye(2)[y], np.eye(2)[1 - y])
    return Predicted(prob, y, tuple(f"{prefix}{i // per_patient}" for i in range(n)))


def test_the_interval_agrees_with_scipy_and_with_the_binomial() -> None:
    one = predicted(0.8, 400, "p")
    low, high = one.estimate(seed=0).ci
    right = (one.prob.argmax(1) == one.y).astype(float)
    other = stats.bootstrap((right,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(1))
    assert (low, high) == pytest.approx(tuple(other.confidence_interval), abs=0.01)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_patients_with_several_studies_widen_the_interval() -> None:
    def width(one: Predicted) -> float:
        low, high = one.estimate(seed=0).ci
        return high - low

    assert width(predicted(0.8, 400, "p", per_patient=4)) == pytest.approx(
        2 * width(predicted(0.8, 400, "p")), rel=0.15
    )


def test_weights_draw_whole_patients_and_as_many_as_there_are() -> None:
    weights = patient_weights(["a", "a", "b", "c"], seed=4, replicates=50)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 1:].sum(1) == 3).all()
    assert np.array_equal(weights, patient_weights(["a", "a", "b", "c"], seed=4, replicates=50))


def test_gap_and_average_on_the_hand_table() -> None:
    record = shift_record("m", predicted(0.9, 100, "s"), predicted(0.5, 100, "t"), seed=1)
    assert (record.id, record.ood) == (0.9, 0.5)
    assert (record.gap, record.avg) == pytest.approx((0.4, 0.7))
    for name in ("id", "ood", "gap", "avg"):
        low, high = record.ci[name]
        assert low < getattr(record, name) < high
    # Independent sets: the variance of the gap is the sum of the two, that of the mean a quarter of it.
    widths = {name: high - low for name, (low, high) in record.ci.items()}
    assert widths["gap"] == pytest.approx(np.hypot(widths["id"], widths["ood"]), rel=0.1)
    assert widths["avg"] == pytest.approx(widths["gap"] / 2, rel=0.1)


def test_a_gap_is_never_negative_and_an_average_is_symmetric() -> None:
    low, high = predicted(0.3, 50, "s").estimate(seed=0), predicted(0.9, 50, "t").estimate(seed=1)
    assert gap(low, high).value == gap(high, low).value == pytest.approx(0.6)
    assert average(low, high).value == average(high, low).value


def test_the_difference_of_identical_predictors_is_zero_and_pairing_narrows() -> None:
    first, second = predicted(0.8, 200, "p"), predicted(0.79, 200, "p")
    a, b = first.estimate(seed=3), second.estimate(seed=3)
    assert a.minus(first.estimate(seed=3)).ci == (0.0, 0.0)
    unpaired = a.minus(second.estimate(seed=4)).ci
    paired = a.minus(b).ci
    assert paired[1] - paired[0] < 0.4 * (unpaired[1] - unpaired[0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        right = rng.random(100) < 0.7
        y = np.zeros(100, dtype=int)
        prob = np.where(right[:, None], [1.0, 0.0], [0.0, 1.0])
        weights = patient_weights([str(i) for i in range(100)], seed=trial, replicates=400)
        low, high = estimate(accuracy, y, prob, weights).ci
        covered += low <= 0.7 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_of_an_error_surrounds_it_once_centred() -> None:
    draw = np.random.default_rng(0)
    p = draw.uniform(0.5, 1, 150)
    y = (draw.random(150) > p).astype(int)
    weights = patient_weights([str(i) for i in range(150)], seed=0, replicates=400)
    found = estimate(ece, y, np.stack([p, 1 - p], axis=1), weights)
    assert found.replicates.mean() > found.value + 0.01  # noise pushes the error up
    low, high = found.centred.ci
    assert low < found.value < high
    assert found.centred.value == found.value
    assert high - low == pytest.approx(found.ci[1] - found.ci[0])
    never = estimate(ece, np.array([0, 1] * 10), np.eye(2)[[0, 1] * 10], np.ones((5, 20))).centred
    assert never.ci == (0, 0)
