"""The drawn chest, measured as a reader would: ratio of heart to chest, projection, inflation, resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from osler_training.phantom.anatomy import FIELD_MM, LEFT, RIGHT, Anatomy, grid_mm, inside
from osler_training.phantom.parameters import DIAGNOSES, PARAMETERS
from osler_training.phantom.render import project
from osler_training.phantom.spec import Finding, StudySpec, sample_patient, sample_study

SIZE = 320
DETAIL = {"x": 0.5, "y": 0.5, "size": 0.5, "texture": 0.5}


def extent_mm(mask: NDArray[np.bool_]) -> float:
    """Width of what a mask covers, over all its rows."""
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns[-1] - columns[0] + 1) / mask.shape[1] * FIELD_MM


def inner_chest_mm(anatomy: Anatomy) -> float:
    """Greatest distance between the outer borders of the two lungs on one row."""
    lungs = (anatomy.cage(RIGHT) > 0.5) | (anatomy.cage(LEFT) > 0.5)
    return max(extent_mm(row[None]) for row in lungs if row.any())


def heart_mm(anatomy: Anatomy) -> float:
    """Width of the heart's silhouette above the domes."""
    dome = np.where(anatomy.x < anatomy.shift, anatomy.diaphragm(RIGHT), anatomy.diaphragm(LEFT))
    return extent_mm(anatomy.heart[1] & (anatomy.y < dome))


def bare(seed: int = 0, *findings: Finding, view: str = "PA") -> StudySpec:
    """A study of a patient without disease, but for what is given."""
    return StudySpec("normal", view, sample_patient(np.random.default_rng(seed)), findings, (), 7)


@pytest.mark.parametrize("index", range(16))
def test_the_cardiothoracic_ratio_of_the_drawing_is_the_one_told(index: int) -> None:
    spec = sample_study(DIAGNOSES[index % 8], np.random.default_rng([1, index]))
    anatomy = Anatomy(spec, SIZE)
    measured = heart_mm(anatomy) / inner_chest_mm(anatomy)
    told = project(spec, 32).cardiothoracic_ratio
    assert measured == pytest.approx(told, abs=0.01), f"{spec.diagnosis}: drawn {measured:.3f}, told {told:.3f}"


def test_cardiomegaly_is_above_one_half_and_grows_with_severity() -> None:
    ratios = [Anatomy(bare(3, Finding("cardiomegaly", severity=one)), 8).ratio for one in (0.05, 0.3, 0.7, 1.0)]
    assert ratios[0] > 0.5 > Anatomy(bare(3), 8).ratio
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(sum(PARAMETERS.ratio_enlarged))


def test_an_ap_film_magnifies_the_heart_and_raises_the_domes_but_not_the_truth() -> None:
    erect, portable = Anatomy(bare(), SIZE), Anatomy(bare(view="AP"), SIZE)
    assert heart_mm(portable) / heart_mm(erect) == pytest.approx(1.07, abs=0.015)
    assert inner_chest_mm(portable) == pytest.approx(inner_chest_mm(erect), abs=1.5)
    assert portable.dome[LEFT] < erect.dome[LEFT]
    assert portable.ratio == erect.ratio


def test_hyperinflation_flattens_and_lowers_the_diaphragm_and_narrows_the_heart() -> None:
    normal, large = Anatomy(bare(), SIZE), Anatomy(bare(0, Finding("hyperinflation", "both", severity=0.9)), SIZE)
    for side in (RIGHT, LEFT):
        curve = [float(np.ptp(one.diaphragm(side)[one.cage(side) > 0.5])) for one in (normal, large)]
        assert curve[1] < 0.5 * curve[0], f"side {side}: the dome falls {curve[0]:.0f} mm, inflated {curve[1]:.0f} mm"
        assert large.dome[side] > normal.dome[side] + 15
    assert heart_mm(large) < heart_mm(normal)
    assert large.lung(RIGHT).sum() > 1.1 * normal.lung(RIGHT).sum()


def test_a_collapse_raises_its_dome_and_pulls_the_heart_to_its_side() -> None:
    normal = Anatomy(bare(), SIZE)
    for side, sign in (("right", RIGHT), ("left", LEFT)):
        collapsed = Anatomy(bare(0, Finding("atelectasis", side, "lower", 0.8, DETAIL)), SIZE)
        moved = [float((one.x * one.heart[0]).sum() / one.heart[0].sum()) for one in (normal, collapsed)]
        assert (moved[1] - moved[0]) * sign > 10, f"{side}: the heart moved {moved[1] - moved[0]:.0f} mm"
        assert collapsed.dome[sign] == normal.dome[sign] - 30 * 0.8
        assert collapsed.dome[-sign] == normal.dome[-sign]


def test_a_large_effusion_pushes_the_mediastinum_away() -> None:
    pushed = Anatomy(bare(0, Finding("effusion", "right", "lower", 1.0)), 8).shift - Anatomy(bare(), 8).shift
    assert pushed == pytest.approx(16)
    assert Anatomy(bare(0, Finding("effusion", "both", "lower", 1.0)), 8).shift == Anatomy(bare(), 8).shift


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_the_same_patient_looks_the_same_at_any_number_of_pixels(diagnosis: str) -> None:
    spec = sample_study(diagnosis, np.random.default_rng([2, DIAGNOSES.index(diagnosis)]))
    fine, coarse = (project(spec, size, photons=1e12).attenuation for size in (256, 128))
    shrunk = fine.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(shrunk.ravel(), coarse.ravel())[0, 1] > 0.999
    assert np.abs(shrunk - coarse).mean() < 0.03


def test_lengths_are_in_mm_on_a_field_whose_pixels_tile_it() -> None:
    x, y = grid_mm(50)
    assert np.allclose(np.diff(x[0]), FIELD_MM / 50)
    assert np.allclose(np.diff(y[:, 0]), FIELD_MM / 50)
    assert x.mean() == pytest.approx(0, abs=1e-3)
    assert y.mean() == pytest.approx(FIELD_MM / 2)


def test_an_edge_is_as_wide_as_it_is_told() -> None:
    distance = np.linspace(-10, 10, 2001)
    edge = inside(distance, 4)
    assert edge[distance < -2.01].max() == 0
    assert edge[distance > 2.01].min() == 1
    assert np.trapezoid(edge, distance) == pytest.approx(10, abs=0.01)


def test_turning_the_patient_moves_the_mediastinum_without_disease() -> None:
    spec = bare()
    turned = replace(spec, patient=replace(spec.patient, rotation=spec.patient.rotation + 4))
    assert Anatomy(turned, 8).shift - Anatomy(spec, 8).shift == pytest.approx(3.6)
