"""Nuisances change the picture a little and the truth not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler_contracts.errors import OslerError
from osler_training.phantom.nuisance import (
    HELD_OUT_NUISANCES,
    MIMIC,
    NUISANCES,
    TRAINING_NUISANCES,
    held_out,
    nuisance_named,
)
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import HOSPITAL_A
from osler_training.phantom.study import render_pair

PLAN = StudyPlan(2, 0, "pneumonia", None, 5)
FRONTAL_PA = replace(HOSPITAL_A, share_portable=0.0)


def test_what_training_sees_and_what_experiments_use_have_nothing_in_common() -> None:
    training, held = ({one.name for one in group} for group in (TRAINING_NUISANCES, HELD_OUT_NUISANCES))
    assert len(training) >= 5
    assert len(held) >= 6
    assert not training & held
    assert MIMIC.name not in training | held
    changes = [one.beam or one.process or one.view for one in (*TRAINING_NUISANCES, *HELD_OUT_NUISANCES)]
    assert len(set(changes)) == len(changes)


def test_the_seed_chooses_among_all_held_out_nuisances() -> None:
    assert {held_out(seed) for seed in range(80)} == set(HELD_OUT_NUISANCES)
    assert held_out(11) == held_out(11)


@pytest.mark.parametrize("name", sorted(NUISANCES))
def test_a_nuisance_is_seen_but_truth_and_report_stay(name: str) -> None:
    without, with_it = render_pair(PLAN, FRONTAL_PA, 128, name)
    change = np.abs(with_it.image - without.image)
    assert change.max() > 0.01
    assert change.mean() < 0.12
    assert with_it.concepts == without.concepts
    assert with_it.cardiothoracic_ratio == pytest.approx(without.cardiothoracic_ratio)
    if name != "portable":  # the technique is stated in some reports
        assert with_it.report == without.report
    again = render_pair(PLAN, FRONTAL_PA, 128, name)[1]
    np.testing.assert_array_equal(again.stored, with_it.stored)


@pytest.mark.parametrize("nuisance", [one for one in NUISANCES.values() if one.beam], ids=lambda one: one.name)
def test_objects_in_the_beam_only_add_or_tilt_attenuation(nuisance: object) -> None:
    chosen = nuisance_named(getattr(nuisance, "name"))  # noqa: B009
    y, x = np.mgrid[0:128, 0:128].astype(np.float32) * (400 / 128)
    empty = np.zeros((128, 128), np.float32)
    added = chosen.overlay(empty, x - 200, y, np.random.default_rng(0))
    assert added.dtype == np.float32
    assert added.min() >= (-0.3 if chosen.name == "heel_effect" else 0)
    assert added.max() > 0.1


def test_the_mimic_widens_the_shadow_of_the_heart_but_not_the_heart() -> None:
    without, with_it = render_pair(PLAN, FRONTAL_PA, 128, MIMIC.name)
    row = slice(66, 74)  # the widest part of the heart, over the left lung's side
    beside = slice(84, 100)
    assert with_it.image[row, beside].mean() > without.image[row, beside].mean() + 0.03
    assert with_it.cardiothoracic_ratio == pytest.approx(without.cardiothoracic_ratio)


def test_unknown_nuisance_is_refused() -> None:
    with pytest.raises(OslerError, match="gown_snaps"):
        nuisance_named("nothing")
