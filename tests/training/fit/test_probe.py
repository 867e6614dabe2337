"""The probe chooses its strength on the select split and honours the two-logit rule."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.probe import fit_probe
from osler_training.fit.problem import Cohort


def cohort(seed: int, n: int = 200, classes: int = 2, D: int = 30) -> Cohort:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, D)) * np.linspace(0.1, 10, D)
    x[:, 0] += y
    return Cohort(Features(x), y, tuple(f"s{seed}p{i}" for i in range(n)))


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learn_on_standardised_features(classes: int) -> None:
    train, select, calibrate = (cohort(seed, classes=classes) for seed in range(3))
    probe = fit_probe(train.features.pooled, train.y, select, calibrate, [0.3])
    scaler = StandardScaler().fit(train.features.pooled)
    model = LogisticRegression(C=0.3, max_iter=5000).fit(scaler.transform(train.features.pooled), train.y)
    want = model.predict_log_proba(scaler.transform(select.features.pooled))
    got = probe.logits(select.features.pooled)
    assert got - got[:, :1] == pytest.approx(want - want[:, :1], abs=1e-6)
    assert probe.W.shape == (classes, 30)


def test_the_strength_is_chosen_on_the_select_split() -> None:
    """Few examples and many useless features: the weakest penalty overfits."""
    train, select, calibrate = (cohort(seed, n=40, D=60) for seed in range(3))
    Cs = (1e-3, 1e-2, 1.0, 100.0)
    losses = {C: fit_probe(train.features.pooled, train.y, select, calibrate, [C]).chosen for C in Cs}
    best = min(losses, key=lambda C: losses[C]["select_cross_entropy"])
    assert fit_probe(train.features.pooled, train.y, select, calibrate, Cs).chosen["C"] == best
    assert best < 100.0


def test_a_constant_feature_does_no_harm() -> None:
    train, select, calibrate = (cohort(seed) for seed in range(3))
    for one in (train, select, calibrate):
        one.features.pooled[:, 5] = 0.25
    probabilities = fit_probe(train.features.pooled, train.y, select, calibrate, [1.0]).probabilities(select)
    assert np.isfinite(probabilities).all()
    assert probabilities.sum(1) == pytest.approx(1)


def test_a_missing_feature_is_the_mean_that_the_library_would_fill_in() -> None:
    train, select, calibrate = (cohort(seed) for seed in range(3))
    rng = np.random.default_rng(0)
    for one in (train, select, calibrate):
        x = one.features.pooled
        x[rng.random(x.shape) < 0.2] = np.nan
        x[:, 7] = np.nan  # never measured
    probe = fit_probe(train.features.pooled, train.y, select, calibrate, [0.3])
    pipeline = make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(C=0.3, max_iter=5000)
    ).fit(train.features.pooled, train.y)
    want = pipeline.predict_log_proba(select.features.pooled)
    got = probe.logits(select.features.pooled)
    assert got - got[:, :1] == pytest.approx(want - want[:, :1], abs=1e-6)
    assert not probe.W[:, 7].any()


def test_a_probe_without_a_strength_is_refused() -> None:
    train, select, calibrate = (cohort(seed) for seed in range(3))
    with pytest.raises(OslerError) as caught:
        fit_probe(train.features.pooled, train.y, select, calibrate, [])
    assert caught.value.code is Code.USAGE
