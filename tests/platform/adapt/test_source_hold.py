"""A change of the head is turned away from what the source's studies span, and no farther than they ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from osler.adapt.guards import WeightEdit
from osler.adapt.linear_model import LinearModel
from osler.adapt.source_hold import SourceHold, _directions, joined, turned, with_one

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
    turn, outcome = hold.held(edit)
    held = turned(edit, turn)
    assert fall(model, held) <= tolerance + 1e-9
    assert outcome.passed == (not held.empty)
    if hold.measured(edit).passed:
        np.testing.assert_array_equal(turn, np.eye(13))


def test_the_turned_change_minimises_what_it_says(model: LinearModel):
    rng = np.random.default_rng(0)
    site, source = with_one(rng.normal(size=(40, 3))), with_one(rng.normal(size=(30, 3)) @ np.diag([3.0, 1.0, 0.2]))
    wanted, penalty = rng.normal(size=(2, 4)), 0.7

    def cost(flat: np.ndarray) -> float:
        D = flat.reshape(2, 4)
        return float((((D - wanted) @ site.T) ** 2).sum() / 40 + penalty * ((D @ source.T) ** 2).sum() / 30)

    found = minimize(cost, np.zeros(8), method="BFGS", options={"gtol": 1e-9}).x.reshape(2, 4)
    basis, dual, share = _directions(site, source)
    np.testing.assert_allclose(wanted @ (dual * (share / (share + penalty * (1 - share)))) @ basis.T, found, atol=1e-5)


def test_what_only_the_site_spans_is_kept_whole_and_what_only_the_source_spans_is_dropped():
    site, source = np.diag([1.0, 0.0, 1.0]), np.diag([0.0, 1.0, 1.0])
    basis, dual, share = _directions(site, source)
    kept = share / (share + 1e6 * (1 - share))
    np.testing.assert_allclose(np.diag((dual * kept) @ basis.T), [1.0, 0.0, 0.0], atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_units_and_mixtures_of_concepts_do_not_matter(seed: int):
    rng = np.random.default_rng(seed)
    site, source = rng.normal(size=(40, 5)), rng.normal(size=(60, 5))
    mixing = rng.normal(size=(5, 5)) + 3 * np.eye(5)
    wanted = rng.normal(size=(2, 5))

    def logits(site: np.ndarray, source: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        basis, dual, share = _directions(site, source)
        return site @ (wanted @ (dual * (share / (share + 2 * (1 - share)))) @ basis.T).T

    mixed = logits(site @ mixing, source @ mixing, wanted @ np.linalg.inv(mixing).T)
    np.testing.assert_allclose(mixed, logits(site, source, wanted), atol=1e-5)


def test_a_source_without_studies_bears_nothing(model: LinearModel):
    bare = replace(model, source=replace(model.source, values=np.zeros((0, 12)), y=np.zeros(0, np.intp)))
    edit = some_edit(np.random.default_rng(1), 1.0)
    turn, outcome = SourceHold(bare, np.ones((4, 12)), 0.005, 1.0).held(edit)
    assert turned(edit, turn).empty
    assert not outcome.passed
    assert "keeps no study" in outcome.sentence


def test_a_change_that_nobody_sees_stays_as_it_is(model: LinearModel):
    same_for_all = WeightEdit(np.tile(np.random.default_rng(2).normal(size=12), (3, 1)), 5.0)
    turn, outcome = SourceHold(model, model.source.values, 0.0, 1.0).held(same_for_all)
    assert outcome.passed
    assert outcome.before == outcome.after
    np.testing.assert_array_equal(joined(turned(same_for_all, turn)), joined(same_for_all))
