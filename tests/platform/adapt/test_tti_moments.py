"""The steps of `tti_affine` against scikit-learn, and against what chance does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from osler.adapt.tti_moments import aurocs, misfires, moved, narrowed, spread_ratio
from osler.adapt.tti_steps import class_means

World = Any


def test_the_auroc_is_that_of_scikit_learn_ties_and_all(world: World):
    rng = np.random.default_rng(0)
    source = world.pipeline.source
    values, y = rng.uniform(size=(15, 12)).round(1), np.repeat([0, 1, 2], 5)
    has = (source.mean > source.neutral)[y]
    found, _ = aurocs(values, y, source)
    expected = [roc_auc_score(has[:, c], values[:, c]) for c in range(12)]
    np.testing.assert_allclose(found, expected)


def test_its_error_is_that_of_values_that_say_nothing(world: World):
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], 5)
    drawn = np.stack([aurocs(rng.uniform(size=(15, 12)), y, world.pipeline.source)[0] for _ in range(400)])
    error = aurocs(rng.uniform(size=(15, 12)), y, world.pipeline.source)[1]
    np.testing.assert_allclose(drawn.std(), error, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(), 0.5, atol=0.01)


def test_a_concept_that_no_class_or_every_class_has_is_not_judged(world: World):
    source = replace(world.pipeline.source, mean=np.full((3, 12), 0.5))
    values, y = np.random.default_rng(2).uniform(size=(6, 12)), np.repeat([0, 1, 2], 2)
    assert np.isnan(aurocs(values, y, source)[0]).all()
    assert not misfires(values, y, source, errors=-100.0).any()


def test_a_concept_the_wrong_way_round_misfires(world: World):
    values, y = world.draw(np.random.default_rng(3), 6)
    values = world.values(values)
    values[:, 2] = 1 - values[:, 2]
    np.testing.assert_array_equal(np.flatnonzero(misfires(values, y, world.pipeline.source, 1.0)), [2])


@pytest.mark.parametrize("judge", [moved, narrowed])
def test_at_the_source_itself_discoveries_are_as_rare_as_they_are_said_to_be(world: World, judge: Any):
    rng = np.random.default_rng(4)
    source = world.pipeline.source
    y = np.repeat([0, 1, 2], 4)
    # Where nothing moved every discovery is false, so the rate of draws with any is the false-discovery rate.
    draws = [source.mean[y] + source.std[y] * rng.normal(size=(12, 12)) for _ in range(400)]
    rate = np.mean([judge(class_means(values, y, 3), y, source, 0.1).any() for values in draws])
    assert 0.06 <= rate <= 0.15


def test_a_shift_and_a_squeeze_are_told_apart(world: World):
    source = world.pipeline.source
    y = np.repeat([0, 1, 2], 4)
    means = source.mean.copy()
    means[:, 1] += 0.3
    means[:, 5] = source.neutral[5] + (source.mean[:, 5] - source.neutral[5]) / 4
    np.testing.assert_array_equal(np.flatnonzero(moved(means, y, source, 0.1)), [1])
    np.testing.assert_array_equal(np.flatnonzero(narrowed(means, y, source, 0.1)), [5])
    np.testing.assert_allclose(spread_ratio(source, means), np.where(np.arange(12) == 5, 4.0, 1.0))
    flat = replace(source, mean=np.tile(source.neutral, (3, 1)))
    np.testing.assert_allclose(spread_ratio(flat, means), 1.0)
