"""Adapters that put another head in place: against scikit-learn, closed forms and planted truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.covariance import ShrunkCovariance, ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from osler.adapt.adapters.anchored_head import AnchoredHead, anchored
from osler.adapt.adapters.concept_lda import ConceptLda, shrunk, source_covariance
from osler.adapt.adapters.logistic_shots import LogisticShots
from osler.adapt.new_head import source_head
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import SourceUnits
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.records import Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
ADAPTERS = (LogisticShots(), ConceptLda(), ConceptLda(towards="covariance"), AnchoredHead())


@pytest.fixture(scope="module")
def shifted(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return 8 shots a class and a test set of a site where classes 0 and 1 have swapped their looks."""
    swapped = replace(world, means=world.means[[1, 0, 2]])
    rng = np.random.default_rng(4)
    return (*swapped.draw(rng, 8), *swapped.draw(rng, 200))


def probabilities(patch: SitePatch, world: World, logits: np.ndarray) -> np.ndarray:
    patched = patch.apply(world.pipeline, on=DATE)
    return patched.calibration.probabilities(patched.predict_features(Features(logits), site="b").logits)


def units_by_hand(world: World) -> Callable[[np.ndarray], np.ndarray]:
    source = world.pipeline.source
    centre = source.mean.mean(axis=0)
    total = np.sqrt((source.std**2).mean(axis=0) + source.mean.var(axis=0))
    return lambda logits: (world.values(logits) - centre) / total


@pytest.mark.parametrize("adapter", ADAPTERS, ids=repr)
def test_it_learns_what_the_shots_show_and_nothing_else_moves(world: World, shifted: Any, adapter: Any):
    logits, y, test, test_y = shifted
    patch = adapter.fit(world.pipeline, world.support(logits, y), created=DATE)
    assert patch.kinds == ("head",)
    assert SitePatch.from_json(patch.to_json()) == patch
    patched = patch.apply(world.pipeline, on=DATE)
    assert world.accuracy(patched, test, test_y, "b") > world.accuracy(world.pipeline, test, test_y, "b") + 0.3
    before = world.pipeline.predict_features(Features(test), site="a").logits
    np.testing.assert_array_equal(patched.predict_features(Features(test), site="a").logits, before)
    order = np.random.default_rng(0).permutation(len(y))
    again = adapter.fit(world.pipeline, world.support(logits[order], y[order]), created=DATE)
    assert again.head == patch.head
    assert 0 < len(patch.edits) <= 10
    assert "weight of *concept" in patch.edits[0]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=repr)
def test_a_class_without_shots_or_a_head_beside_concepts_is_refused(world: World, shifted: Any, adapter: Any):
    logits, y, _, _ = shifted
    with pytest.raises(OslerError) as caught:
        adapter.fit(world.pipeline, world.support(logits[y > 0], y[y > 0]), created=DATE)
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT
    head = HybridHead(world.pipeline.head, np.ones((3, 12)), np.zeros(3))
    with pytest.raises(OslerError) as caught:
        adapter.fit(replace(world.pipeline, head=head), world.support(logits, y), created=DATE)
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize("adapter", ADAPTERS, ids=repr)
def test_one_shot_a_class_is_enough_to_fit(world: World, shifted: Any, adapter: Any):
    logits, y, _, _ = shifted
    rows = [int(np.flatnonzero(y == k)[0]) for k in range(3)]
    patch = adapter.fit(world.pipeline, world.support(logits[rows], y[rows]), created=DATE)
    assert np.array_equal(probabilities(patch, world, logits[rows]).argmax(axis=1), y[rows])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_calibrated_probabilities_are_those_of_the_logistic_regression(world: World, shifted: Any, temperature: float):
    logits, y, test, _ = shifted
    warm = replace(world, pipeline=replace(world.pipeline, calibration=Calibration(temperature)))
    patch = LogisticShots(C=0.3).fit(warm.pipeline, warm.support(logits, y), created=DATE)
    x = units_by_hand(world)
    model = LogisticRegression(C=0.3, tol=1e-9, max_iter=10_000, solver="newton-cg").fit(x(logits), y)
    np.testing.assert_allclose(probabilities(patch, warm, test), model.predict_proba(x(test)), atol=1e-4)


def test_two_classes_get_two_rows(world: World, shifted: Any):
    logits, y, test, _ = shifted
    logits, y = logits[y < 2], y[y < 2]
    source = world.pipeline.source
    two = replace(
        world.pipeline,
        classes=world.pipeline.classes[:2],
        head=LinearHead(world.pipeline.head.ids, world.pipeline.head.weight[:2], world.pipeline.head.bias[:2]),
        source=replace(source, mean=source.mean[:2], std=source.std[:2], counts=source.counts[:2]),
    )
    world = replace(world, pipeline=two)
    patch = LogisticShots().fit(two, world.support(logits, y), created=DATE)
    x = units_by_hand(world)
    model = LogisticRegression(tol=1e-9, max_iter=10_000).fit(x(logits), y)
    np.testing.assert_allclose(probabilities(patch, world, test), model.predict_proba(x(test)), atol=1e-4)
    weights = two.head.weight + np.array(patch.head.weights)
    np.testing.assert_allclose(weights[0], -weights[1], atol=1e-12)


class Unbiased(ShrunkCovariance):
    """Covariance of one class, by n - 1, shrunk towards the identity."""

    def fit(self, X: np.ndarray, y: object = None) -> Unbiased:
        self.covariance_ = 0.6 * np.cov(X.T) + 0.4 * np.eye(X.shape[1])
        return self


def test_lda_is_that_of_scikit_learn(world: World, shifted: Any):
    logits, y, test, _ = shifted
    patch = ConceptLda(shrinkage=0.4).fit(world.pipeline, world.support(logits, y), created=DATE)
    source = world.pipeline.source
    within = np.sqrt((source.std**2).mean(axis=0))
    model = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Unbiased(), priors=np.full(3, 1 / 3))
    model.fit(world.values(logits) / within, y)
    np.testing.assert_allclose(
        probabilities(patch, world, test), model.predict_proba(world.values(test) / within), atol=1e-9
    )


def test_the_weight_of_the_target_is_that_of_ledoit_and_wolf():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 12)) @ np.diag(rng.uniform(0.5, 2, 12))
    S = x.T @ x / 40
    # Theirs is the same for the target they estimate: the mean variance on the diagonal.
    weight, covariance = shrunk(x, 40, np.trace(S) / 12 * np.eye(12))
    assert weight == pytest.approx(ledoit_wolf_shrinkage(x, assume_centered=True), rel=1e-9)
    np.testing.assert_allclose(covariance, (1 - weight) * S + weight * np.trace(S) / 12 * np.eye(12))


def test_the_weight_of_the_target_is_near_the_best_there_is():
    rng = np.random.default_rng(5)
    truth = np.diag(rng.uniform(0.5, 1.5, 10))
    weights, errors = [], []
    for _ in range(200):
        x = rng.normal(size=(20, 10)) @ np.sqrt(truth)
        weights.append(shrunk(x, 20, np.eye(10))[0])
        errors.append([((shrunk(x, 20, np.eye(10), w)[1] - truth) ** 2).sum() for w in np.linspace(0.05, 1, 20)])
    best = np.linspace(0.05, 1, 20)[np.mean(errors, axis=0).argmin()]
    assert abs(np.mean(weights) - best) < 0.1


def test_without_residuals_the_covariance_is_the_sources(world: World):
    units = SourceUnits.within(world.pipeline)
    target = source_covariance(world.pipeline, units)
    weight, covariance = shrunk(np.zeros((3, 12)), 0, target)
    assert weight == 1
    np.testing.assert_array_equal(covariance, target)
    np.testing.assert_allclose(target, np.eye(12), atol=0.2)


def test_without_an_anchor_it_is_a_logistic_regression(world: World, shifted: Any):
    logits, y, _, _ = shifted
    x = units_by_hand(world)(logits)
    weights, bias = anchored(x, y, np.zeros((3, 12)), np.zeros(3), 2.0, 0.0)
    model = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000, solver="newton-cg").fit(x, y)
    np.testing.assert_allclose(softmax(x @ weights.T + bias, axis=1), model.predict_proba(x), atol=1e-5)


def test_a_strong_anchor_holds(world: World, shifted: Any):
    logits, y, test, _ = shifted
    patch = AnchoredHead(strength=1e8, bias_strength=1e8).fit(world.pipeline, world.support(logits, y), created=DATE)
    before = world.pipeline.calibration.probabilities(world.pipeline.predict_features(Features(test)).logits)
    np.testing.assert_allclose(probabilities(patch, world, test), before, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 6), strength=st.floats(0.05, 20))
def test_the_gradient_is_zero_at_the_anchored_head(seed: int, n: int, strength: float):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(3), n)
    x, W0, b0 = rng.normal(size=(len(y), 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    W, b = anchored(x, y, W0, b0, strength, strength)
    error = np.exp(log_softmax(x @ W.T + b, axis=1)) - np.eye(3)[y]
    np.testing.assert_allclose(error.T @ x + strength * (W - W0), 0, atol=1e-4)
    np.testing.assert_allclose(error.sum(axis=0) + strength * (b - b0), 0, atol=1e-4)
    # Every step of the weights is a sum of shots.
    basis = np.linalg.svd(x)[2][: min(x.shape)]
    np.testing.assert_allclose((W - W0) - (W - W0) @ basis.T @ basis, 0, atol=1e-6)


def test_the_models_own_head_is_read_whole(world: World):
    weights, bias = source_head(world.pipeline)
    values = np.random.default_rng(0).uniform(size=(5, 12))
    expected = world.pipeline.predict_values(values).logits
    np.testing.assert_allclose(values @ weights.T + bias, expected, atol=1e-12)
    units = SourceUnits.total(world.pipeline)
    folded = units.folded(weights, bias)
    np.testing.assert_allclose(units(values) @ folded[0].T + folded[1], expected, atol=1e-12)
    np.testing.assert_allclose(units.unfolded(*folded)[0], weights, atol=1e-12)
    np.testing.assert_allclose(units.unfolded(*folded)[1], bias, atol=1e-12)


@pytest.mark.parametrize(
    "make", [lambda: LogisticShots(C=0), lambda: ConceptLda(shrinkage=0), lambda: AnchoredHead(strength=0)]
)
def test_settings_out_of_range_are_refused(make: Callable[[], object]):
    with pytest.raises(OslerError) as caught:
        make()
    assert caught.value.code is Code.USAGE


def test_labels_out_of_range_are_refused(world: World):
    support = Support(Features(np.zeros((3, 12))), np.array([0, 1, 7]), "b")
    with pytest.raises(OslerError) as caught:
        AnchoredHead().fit(world.pipeline, support, created=DATE)
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT
