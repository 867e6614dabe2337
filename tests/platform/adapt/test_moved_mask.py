"""A concept that fires where it should not, and only that one, is masked; a site that is like the source is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters.moved_mask import MovedMask
from osler.adapt.patch import SitePatch
from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
HEAVY = 4  # speaks for class 1


def fit(world: World, logits: np.ndarray, y: np.ndarray, pool: np.ndarray, **options: Any) -> SitePatch:
    support = replace(world.support(logits, y), unlabelled=Features(pool))
    return fit_patch(MovedMask(**options), world.pipeline, support, created="2024-05-01")


def test_the_concept_that_fires_in_all_is_masked_in_nearly_every_draw(world: World):
    rng = np.random.default_rng(0)
    pool, (test, truth) = world.confused(rng, 40)[0], world.confused(rng, 200)
    heavy = world.pipeline.bank.ids[HEAVY]
    before = world.accuracy(world.pipeline, test, truth, "b")
    hits = 0
    for _ in range(20):
        patch = fit(world, *world.confused(rng, 4), pool)
        hits += patch.masked == (heavy,)
        if patch.masked:
            assert world.accuracy(patch.apply(world.pipeline), test, truth, "b") > before
            assert patch.kinds == ("scorer",)
    assert hits >= 18


def test_a_site_like_the_source_is_left_alone(world: World):
    rng = np.random.default_rng(1)
    patches = [fit(world, *world.draw(rng, 4), world.draw(rng, 40)[0]) for _ in range(20)]
    assert sum(not patch.changes_nothing for patch in patches) <= 1


def test_another_mix_of_classes_masks_nothing(world: World):
    rng = np.random.default_rng(2)
    for k in range(3):
        pool, truth = world.draw(rng, 60)
        keep = (truth == k) | (np.arange(len(truth)) % 4 == 0)
        patches = [fit(world, *world.draw(rng, 4), pool[keep]) for _ in range(5)]
        assert all(patch.changes_nothing for patch in patches)


def test_where_most_concepts_moved_no_single_one_is_blamed(world: World):
    rng = np.random.default_rng(3)
    logits, y = world.draw(rng, 4)
    patch = fit(world, logits + 2.0, y, world.draw(rng, 40)[0] + 2.0)
    assert patch.changes_nothing
    assert "no single one is to blame" in patch.reason


def test_the_reader_is_told_what_the_source_would_lose(world: World):
    rng = np.random.default_rng(4)
    patch = fit(world, *world.confused(rng, 8), world.confused(rng, 40)[0])
    assert [guard.name for guard in patch.guards] == ["leave-shots-out", "ungated-source"]
    values, y = world.pipeline.source.values, world.pipeline.source.y
    masked = values.copy()
    masked[:, HEAVY] = world.pipeline.neutral[HEAVY]
    for told, static in ((patch.guards[1].before, values), (patch.guards[1].after, masked)):
        right = world.pipeline.predict_values(static).logits.argmax(1) == y
        assert told == pytest.approx(np.mean([right[y == k].mean() for k in range(3)]))


@pytest.mark.parametrize(
    "settings", [{"fdr": 0}, {"agreement": 1.5}, {"least": -1}, {"min_shots": 0}, {"most_moved": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]):
    with pytest.raises(OslerError) as caught:
        MovedMask(**settings)
    assert caught.value.code is Code.USAGE
