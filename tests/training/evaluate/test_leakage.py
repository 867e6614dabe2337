"""Leakage beside the concepts, and the controls that say whether concepts carry anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline as chained
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler_training.evaluate.controls import against_control
from osler_training.evaluate.leakage import probe_recovery, residual_information, soft_hard_gap
from osler_training.evaluate.probes import cross_fitted_classes, patient_folds
from osler_training.evaluate.records import Records

N = 400
PATIENTS = tuple(f"p{i // 2}" for i in range(N))
HALF = {f"concept_{c}": 0.5 for c in range(3)}


def test_hard_concepts_have_no_gap_and_shades_that_tell_the_class_have_one(
    make_pipeline: Callable[..., Pipeline],
) -> None:
    draw = np.random.default_rng(0)
    pipeline = make_pipeline(np.array([[-30.0, 0, 0], [30.0, 0, 0]]), np.array([18.0, -18.0]))
    sure = Features(40.0 * draw.choice([-1, 1], (N, 3)))
    y = draw.integers(0, 2, N)
    found = soft_hard_gap(pipeline, sure, y, PATIENTS, HALF, seed=0, replicates=50)
    assert found.gap.ci == (0, 0)
    # Every concept is present; only how surely says which class it is.
    shades = Features(np.where(y == 1, 2.0, 0.2)[:, None] * np.ones((N, 3)))
    found = soft_hard_gap(pipeline, shades, y, PATIENTS, HALF, seed=0, replicates=50)
    assert found.soft.value == 1
    assert found.hard.value == y.mean()
    assert found.gap.value == pytest.approx(1 - y.mean())
    # The threshold decides: between the shades it keeps what they say, and a concept without one stays soft.
    for limits in ({"concept_0": 0.7}, {"concept_1": 0.5}):
        assert soft_hard_gap(pipeline, shades, y, PATIENTS, limits, seed=0, replicates=5).gap.value == 0


def test_true_concepts_leave_nothing_and_values_that_hold_the_class_do() -> None:
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 2, (N, 3)).astype(float)
    y = (draw.random(N) < 1 / (1 + np.exp(-(3 * truth[:, 0] - 1.5)))).astype(int)
    clean = residual_information(truth + 0.3 * draw.normal(size=(N, 3)), truth, y, PATIENTS, seed=0)
    assert clean.gain.value < 0.01
    assert clean.gain.ci[0] < 0
    leaky = truth.copy()
    leaky[:, 2] += 0.5 * y
    found = residual_information(leaky, truth, y, PATIENTS, seed=0)
    assert found.gain.ci[0] > 0.05
    assert found.truth_alone.value == clean.truth_alone.value
    missing = np.where(draw.random((N, 3)) < 0.2, np.nan, truth)
    some = residual_information(leaky, missing, y, PATIENTS, seed=0)
    assert some.truth_alone.value < found.truth_alone.value
    assert some.gain.value > 0


def test_the_probe_is_scikit_learns_logistic_regression_fold_by_fold() -> None:
    draw = np.random.default_rng(2)
    x = draw.normal(3, 2, size=(N, 4))
    y = draw.integers(0, 3, N)
    folds = patient_folds(PATIENTS, seed=0)
    model = chained(StandardScaler(), LogisticRegression(max_iter=2000))
    wanted = cross_val_predict(model, x, y, cv=PredefinedSplit(folds.of), method="predict_proba")
    np.testing.assert_allclose(cross_fitted_classes(x, y, folds, 3), wanted, atol=1e-6)


def test_a_class_is_recovered_where_it_shows() -> None:
    draw = np.random.default_rng(3)
    y = np.arange(N) % 4
    clear = np.eye(4)[y] + 0.1 * draw.normal(size=(N, 4))
    hidden = clear.copy()
    hidden[y == 2] = hidden[y == 1][draw.integers(0, N // 4, N // 4)]  # class 2 now looks like class 1
    found = probe_recovery(clear, y, PATIENTS, 2, seed=0, replicates=100)
    assert found.recall.value == 1
    assert found.auroc.value == 1
    lost = probe_recovery(hidden, y, PATIENTS, 2, seed=0, replicates=100)
    assert lost.recall.value < 0.7
    noise = probe_recovery(draw.normal(size=(N, 4)), y, PATIENTS, 2, seed=0, replicates=100)
    assert noise.auroc.ci[0] < 0.5 < noise.auroc.ci[1]


def test_a_control_says_what_its_interval_allows(make_records: Callable[..., Records]) -> None:
    real = make_records(n=400)
    worse = make_records(n=400, y=real.y, prob=make_records(n=400, noise=4.0).prob)
    assert against_control(real, worse, seed=0, replicates=100).verdict == "carries"
    same = against_control(real, real, seed=0, replicates=100)
    assert same.within
    assert same.verdict == "carries nothing"
    small = real.rows(np.arange(24))
    near = against_control(small, worse.rows(np.arange(24)), "accuracy", seed=0, replicates=100, margin=0.25)
    assert near.verdict == "undecided"
