"""Renders of a sweep: kept, named by what they show, and the same but for the nuisance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from osler.bottleneck.encoders.preprocess import Preprocess
from osler_training.experiments.phantom_setting import nuisance_of
from osler_training.experiments.renders import Renderer
from osler_training.phantom.nuisance import HELD_OUT_NUISANCES, MIMIC, TRAINING_NUISANCES
from osler_training.phantom.plan import mixed_plan
from osler_training.phantom.sites import HOSPITAL_A
from osler_training.recipes.recipe import SweepRecipe, load_recipe

PLANS = mixed_plan(4, ("heart_failure", "pneumonia"), 3)


def test_a_set_is_rendered_once_and_comes_back_as_it_was(tmp_path: Path) -> None:
    renderer = Renderer(96, Preprocess(48), tmp_path)
    first = renderer(PLANS, HOSPITAL_A)
    (stored,) = tmp_path.glob("*.npz")
    made = stored.stat().st_mtime_ns
    again = renderer(PLANS, HOSPITAL_A)
    assert stored.stat().st_mtime_ns == made
    assert first.images.shape == (4, 48, 48)
    assert first.images.dtype == np.float32
    assert 0 <= first.images.min() < 0.2
    assert 0.8 < first.images.max() <= 1
    np.testing.assert_array_equal(first.images, again.images)
    assert first.reports == again.reports
    assert all("FINDINGS" in report for report in first.reports)


def test_a_nuisance_changes_the_image_and_neither_report_nor_the_name_of_the_set_without(tmp_path: Path) -> None:
    renderer = Renderer(96, Preprocess(48), tmp_path)
    off = renderer(PLANS, HOSPITAL_A)
    on = renderer([replace(plan, nuisance=HELD_OUT_NUISANCES[0].name) for plan in PLANS], HOSPITAL_A)
    assert off.reports == on.reports
    assert off.key != on.key
    changed = np.abs(off.images - on.images)
    assert (changed.max((1, 2)) > 0.01).all()  # snaps of a gown are small at 48 px
    assert np.median(changed) < 0.001


def test_nuisances_of_the_sweep_are_unknown_to_the_encoder() -> None:
    recipe = load_recipe(SweepRecipe, "sweep")
    held_out, mimic = recipe.arms
    known = {one.name for one in TRAINING_NUISANCES}
    drawn = [nuisance_of(held_out, recipe.seed + i) for i in range(recipe.seeds)]
    assert not known & {*drawn, MIMIC.name}
    assert len(set(drawn)) > 1
    assert {nuisance_of(mimic, seed) for seed in range(5)} == {MIMIC.name}
