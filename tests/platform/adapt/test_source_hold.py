"""A head moves for a site by no more than the source bears, and as far as it bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from osler.adapt.guards import WeightEdit
from osler.adapt.linear_model import LinearModel
from osler.adapt.source_hold import PULLS, Compromise, SourceHold, joined, with_one

World = Any


@pytest.fixture(scope="module")
def model(make_world: Callable[..., World]) -> LinearModel:
    return LinearModel.of(make_world(seed=4, noise=1.0).pipeline)


def some_edit(rng: np.random.Generator, size: float) -> WeightEdit:
    return WeightEdit(size * rng.normal(size=(3, 12)), size * rng.normal(size=3))


def fall(model: LinearModel, edit: WeightEdit) -> float:
    """Return by how much the class-balanced accuracy of the source falls, counted anew."""
    values, y = model.source.values, model.source.y
    right = [logits.argmax(1) == y for logits in (model.logits(values), edit.logits(model.logits, values))]
    before, after = (np.mean([one[y == k].mean() for k in np.unique(y)]) for one in right)
    return float(before - after)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000), size=st.sampled_from([0.1, 1.0, 10.0]), tolerance=st.sampled_from([0.0, 0.005, 0.1])
)
def test_the_source_never_loses_more_than_it_may(model: LinearModel, seed: int, size: float, tolerance: float):
    rng = np.random.default_rng(seed)
    edit = some_edit(rng, size)
    hold = SourceHold(model, rng.uniform(size=(50, 12)), tolerance, 1.0)
    held, outcome = hold.held(edit)
    assert fall(model, held) <= tolerance + 1e-9
    assert outcome.passed == (not held.empty)
    if hold.measured(edit).passed:
        assert held is edit


def cost(model: LinearModel, site: np.ndarray, wanted: np.ndarray, pull: float, given: np.ndarray) -> float:
    """Return what is minimised, study by study as it is written."""
    T, source, y = model.temperature, model.source.values, model.source.y
    total = np.mean([np.sum(((given - wanted) @ x / T) ** 2) for x in with_one(site)])
    for k in np.unique(y):
        z = (model.logits(source[y == k]) + with_one(source[y == k]) @ given.T) / T
        total += pull / len(np.unique(y)) * np.mean(np.log(np.exp(z).sum(axis=1)) - z[:, k])
    return float(total)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), pull=st.sampled_from([0.1, 1.0, 30.0]))
def test_the_change_minimises_what_it_says(model: LinearModel, seed: int, pull: float):
    rng = np.random.default_rng(seed)
    site, edit = rng.uniform(size=(40, 12)), some_edit(rng, 1.0)
    compromise = Compromise.of(replace(model, temperature=1.7), site, edit)
    found = joined(compromise.edit(compromise.nearest(pull, compromise.wanted)))
    costs = [cost(replace(model, temperature=1.7), site, joined(edit), pull, one) for one in (found, joined(edit))]
    assert costs[0] <= costs[1]
    for _ in range(20):  # it is convex: a minimum nearby is the minimum
        step = rng.normal(size=found.shape) * 10 ** rng.uniform(-3, 0)
        near = cost(replace(model, temperature=1.7), site, joined(edit), pull, found + step)
        assert near >= costs[0] - 1e-6


def test_its_ends_are_the_change_itself_and_a_regression_on_the_source(model: LinearModel):
    rng = np.random.default_rng(0)
    values, y = model.source.values, model.source.y
    y = np.where(
        rng.random(len(y)) < 0.3, rng.integers(0, 3, len(y)), y
    )  # classes that nothing tells apart without error
    noisy = replace(model, source=replace(model.source, y=y))
    compromise = Compromise.of(noisy, rng.uniform(size=(40, 12)), edit := some_edit(rng, 0.3))
    np.testing.assert_allclose(joined(compromise.edit(compromise.wanted)), joined(edit), atol=1e-6)
    far = joined(compromise.edit(compromise.nearest(1e7, compromise.wanted)))
    other = LogisticRegression(C=1e6, class_weight="balanced", max_iter=5000).fit(values, y)
    logits = (model.logits(values) + with_one(values) @ far.T) / model.temperature
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability, other.predict_proba(values), atol=0.02)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_units_and_mixtures_of_concepts_do_not_matter(model: LinearModel, seed: int):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(12, 12)) + 4 * np.eye(12)
    back, site, edit = np.linalg.inv(mixing), rng.uniform(size=(40, 12)), some_edit(rng, 1.0)
    mixed = replace(
        model,
        weights=model.weights @ back.T,
        source=replace(model.source, values=model.source.values @ mixing),
    )
    found = []
    for one, there, change in (
        (model, site, edit),
        (mixed, site @ mixing, WeightEdit(edit.weights @ back.T, edit.bias)),
    ):
        compromise = Compromise.of(one, there, change)
        found.append(with_one(there) @ joined(compromise.edit(compromise.nearest(3.0, compromise.wanted))).T)
    np.testing.assert_allclose(*found, atol=1e-3 * np.abs(found[0]).max())


def test_what_cannot_be_borne_is_left_out(model: LinearModel):
    """Nothing makes the source as much better as is asked here."""
    against = WeightEdit(-2 * model.weights, -2 * model.bias)
    hold = SourceHold(model, model.source.values, -0.5, 1.0)
    held, outcome = hold.held(against)
    assert held.empty
    assert not outcome.passed
    assert outcome.after < outcome.before  # what is told is what the whole change would cost


def test_a_source_without_studies_bears_nothing(model: LinearModel):
    bare = replace(model, source=replace(model.source, values=np.zeros((0, 12)), y=np.zeros(0, np.intp)))
    held, outcome = SourceHold(bare, np.ones((4, 12)), 0.005, 1.0).held(some_edit(np.random.default_rng(1), 1.0))
    assert held.empty
    assert not outcome.passed
    assert "keeps no study" in outcome.sentence


def test_a_change_that_nobody_sees_stays_as_it_is(model: LinearModel):
    same_for_all = WeightEdit(np.tile(np.random.default_rng(2).normal(size=12), (3, 1)), 5.0)
    held, outcome = SourceHold(model, model.source.values, 0.0, 1.0).held(same_for_all)
    assert outcome.passed
    assert outcome.before == outcome.after
    assert held is same_for_all


def test_a_constant_concept_is_no_obstacle(model: LinearModel):
    """Site and source have it alike, so that nothing tells its weight from the bias."""
    rng = np.random.default_rng(3)
    site, values = rng.uniform(size=(30, 12)), model.source.values.copy()
    site[:, 5], values[:, 5] = 0.0, 0.0
    flat = replace(model, source=replace(model.source, values=values))
    compromise = Compromise.of(flat, site, some_edit(rng, 1.0))
    for pull in PULLS:
        assert np.isfinite(joined(compromise.edit(compromise.nearest(pull, compromise.wanted)))).all()
