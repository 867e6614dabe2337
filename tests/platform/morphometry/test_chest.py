"""Lungs and heart of drawn films, whose outlines, ratios and opacities are known in closed form."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.morphometry.chest import Chest, ChestParameters, NoLungs, closed_path, drawn_lung, segment
from osler.morphometry.chest_measurements import MEASUREMENTS, NAMES, measure, measured
from osler.morphometry.golden import golden_chest
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

HEIGHT, WIDTH = 150.0, 170.0  # Of the pair of lungs, in pixels of a film of 220 x 240.


def drawn(
    *, at: tuple[float, float] = (0, 0), size: float = 1.0, heart: float = 0.5, opaque: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Draw a film (220, 240) with a heart of a width over that of the lungs; returns it and the lungs not hidden."""
    y, x = np.mgrid[0:220, 0:240] + 0.5
    v, u = (y - 110 - at[0]) / (HEIGHT * size) + 0.52, 2 * (x - 120 - at[1]) / (WIDTH * size)
    lungs = np.stack([drawn_lung(u, v, side, behind_heart=True) for side in (0, 1)])
    silhouette = ((u - 0.1) / heart) ** 2 + ((v - 0.72) / 0.24) ** 2 <= 1
    seen = lungs & ~silhouette
    film = np.where(seen.any(axis=0), 0.25, np.where(silhouette | (np.abs(u) < 0.13), 0.8, 0.7))
    if opaque is not None:
        film[seen[opaque[0]] & (v > opaque[1] / 3) & (v < (opaque[1] + 1) / 3)] = 0.5
    grain = 0.02 * np.random.default_rng(0).normal(size=film.shape)
    return np.clip(film + grain, 0, 1), seen


def named(film: np.ndarray) -> dict[str, float]:
    reading = measure(film)
    assert reading.failure == ""
    return dict(zip(NAMES, reading.values, strict=True))


def overlap(ours: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (ours & truth).sum() / (ours.sum() + truth.sum()))


def test_every_measurement_has_a_name_a_unit_and_says_how_it_is_taken():
    assert len(set(NAMES)) == len(MEASUREMENTS) >= 20
    assert {one.unit for one in MEASUREMENTS} == {"1", "deg"}
    assert all(len(one.meaning) > 20 for one in MEASUREMENTS)
    assert np.isfinite(measure(golden_chest()).values).all()


@settings(max_examples=8, deadline=None)
@given(row=st.integers(-15, 15), column=st.integers(-15, 15), size=st.floats(0.8, 1.05))
def test_lungs_are_found_wherever_they_lie(row: int, column: int, size: float):
    film, seen = drawn(at=(row, column), size=size)
    found = segment(film)
    assert isinstance(found, Chest)
    assert min(overlap(found.lungs[side], seen[side]) for side in (0, 1)) > 0.85


def test_the_heart_measures_as_wide_as_it_was_drawn():
    ratios = [named(drawn(heart=heart)[0])["cardiothoracic_ratio"] for heart in (0.4, 0.47, 0.54)]
    np.testing.assert_allclose(ratios, (0.4, 0.47, 0.54), atol=0.06)
    assert ratios == sorted(ratios)


@pytest.mark.parametrize(("side", "third"), list(product((0, 1), (0, 1, 2))))
def test_an_opaque_zone_is_the_one_that_measures_opaque(side: int, third: int):
    plain, opaque = (named(drawn(opaque=zone)[0]) for zone in (None, (side, third)))
    rises = {
        (one, level): opaque[f"opacity_{name}_{zone}"] - plain[f"opacity_{name}_{zone}"]
        for (one, name), (level, zone) in product(enumerate(("right", "left")), enumerate(("upper", "middle", "lower")))
    }
    assert max(rises, key=lambda key: rises[key]) == (side, third)
    assert rises[side, third] > 0.15
    assert opaque["opacity_mean"] > plain["opacity_mean"]


def test_brighter_or_flatter_films_measure_alike():
    film, _ = drawn()
    plain, changed = named(film), named(0.15 + 0.6 * film)
    for name in ("cardiothoracic_ratio", "opacity_right_middle", "opacity_left_upper", "lung_share_right"):
        assert changed[name] == pytest.approx(plain[name], abs=0.03), name
    assert changed["lung_contrast"] == pytest.approx(0.6 * plain["lung_contrast"], abs=0.03)


def test_a_filled_corner_is_blunter():
    film, seen = drawn()
    y = np.mgrid[0:220, 0:240][0]
    lowest = np.flatnonzero(seen[0].any(axis=1))[-1]
    blunted = np.where(seen[0] & (y > lowest - 22), 0.7, film)
    assert named(blunted)["costophrenic_angle_right"] > named(film)["costophrenic_angle_right"] + 8


@settings(max_examples=15)
@given(seed=st.integers(0, 999))
def test_a_closed_path_is_hardly_dearer_than_the_best_of_all_paths(seed: int):
    cost = np.random.default_rng(seed).uniform(size=(5, 3))
    path = closed_path(cost, 0.3)

    def price(one: tuple[int, ...]) -> float:
        steps = np.diff([*one, one[0]])
        return float(cost[np.arange(5), one].sum() + 0.3 * (steps**2).sum())

    best = min(price(one) for one in product(range(3), repeat=5))
    assert price(tuple(path)) == pytest.approx(best, abs=0.35)
    # Where nothing is cheaper, bending is for nothing.
    np.testing.assert_array_equal(np.diff(closed_path(np.tile([1.0, 0.0, 1.0], (5, 1)), 1.0)), 0)


def test_parameters_survive_json():
    parameters = ChestParameters(longest=200, widths=(0.5, 0.9))
    assert ChestParameters.from_record(parameters.to_record()) == parameters


@pytest.mark.parametrize("film", [np.full((200, 200), 0.4), np.ones((20, 20))])
def test_where_there_are_no_lungs_nothing_is_measured_and_the_reason_is_said(film: np.ndarray):
    assert isinstance(segment(film), NoLungs)
    reading = measure(film)
    assert np.isnan(reading.values).all()
    assert reading.failure


def test_lungs_that_fill_the_frame_are_none():
    everywhere = np.ones((100, 100), bool)
    found = Chest(
        np.zeros((100, 100)), np.stack([everywhere] * 2), np.stack([everywhere] * 2), everywhere, (0, 0, 0, 0), 1.0
    )
    assert measured(found).failure == "the outline of the lungs runs to the frame on every side"
    assert np.isnan(measured(found).values).all()


@pytest.mark.parametrize("film", [np.zeros(50), np.full((90, 90), 1.2)])
def test_other_shapes_and_ranges_are_refused(film: np.ndarray):
    with pytest.raises(OslerError) as caught:
        measure(film)
    assert caught.value.code is Code.INPUT_RANGE
