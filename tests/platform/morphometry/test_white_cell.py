"""Measurements against drawn cells, whose areas, lobes and colours are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.morphometry.smear import NotFound, segment
from osler.morphometry.white_cell import MEASUREMENTS, NAMES, measure
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GLASS, NUCLEUS, PINK, BLUE = (0.99, 0.90, 0.79), (0.32, 0.18, 0.50), (0.86, 0.66, 0.66), (0.62, 0.68, 0.74)
RED_CELL = (0.78, 0.66, 0.62)
Disc = tuple[float, float, float]


@dataclass(frozen=True)
class Drawn:
    """A cell as discs (x, y, radius) about its centre, in units of which `scale` make a pixel."""

    lobes: tuple[Disc, ...]
    radius: float = 34.0
    cytoplasm: tuple[float, float, float] = PINK

    def image(
        self, *, scale: float = 1.0, turn: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), side: int = 128
    ) -> np.ndarray:
        """Draw it with 4 x 4 samples a pixel, turned by degrees and moved by pixels."""
        count = round(side * scale)
        places = (np.arange(4 * count) + 0.5) / 4 / scale - side / 2
        y, x = np.meshgrid(places - shift[1], places - shift[0], indexing="ij")
        angle = np.radians(turn)
        x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        fine = np.broadcast_to(GLASS, (*x.shape, 3)).copy()
        fine[x**2 + y**2 <= self.radius**2] = self.cytoplasm
        for centre_x, centre_y, radius in self.lobes:
            fine[(x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2] = NUCLEUS
        return fine.reshape(count, 4, count, 4, 3).mean(axis=(1, 3))


ROUND = Drawn(((0, 0, 20),))
TWO = Drawn(((-12, 0, 11), (12, 0, 11)))
THREE = Drawn(((-13, -6, 9), (13, -6, 9), (0, 14, 9)))
FOUR = Drawn(((-13, -9, 8), (13, -9, 8), (-9, 13, 8), (10, 14, 8)))


def named(image: np.ndarray) -> dict[str, float]:
    reading = measure(image)
    assert reading.failure == ""
    return dict(zip(NAMES, reading.values, strict=True))


def test_every_measurement_has_a_name_a_unit_and_says_how_it_is_taken():
    assert len(set(NAMES)) == len(MEASUREMENTS) >= 16
    assert {one.unit for one in MEASUREMENTS} == {"1", "{pixels}", "{counts}"}
    assert all(len(one.meaning) > 20 for one in MEASUREMENTS)


def test_a_round_nucleus_in_a_round_cell_measures_as_geometry_says():
    found = named(ROUND.image())
    assert found["nucleus_diameter"] == pytest.approx(40, rel=0.04)
    assert found["cell_diameter"] == pytest.approx(68, rel=0.05)
    assert found["nuclear_cytoplasmic_ratio"] == pytest.approx((20 / 34) ** 2, rel=0.06)
    assert found["nucleus_eccentricity"] < 0.2
    assert found["nucleus_solidity"] > 0.95
    assert found["nucleus_width"] == pytest.approx(1, abs=0.06)
    assert found["nucleus_spread"] == pytest.approx(1, abs=0.03)
    assert found["nucleus_indentation"] < 0.08
    assert found["nucleus_lobes"] == 1
    assert found["vacuolation"] == pytest.approx(0, abs=1e-3)
    assert found["granularity"] == pytest.approx(np.log(0.01), abs=0.05)


@pytest.mark.parametrize(("cell", "lobes"), [(ROUND, 1), (TWO, 2), (THREE, 3), (FOUR, 4)])
@pytest.mark.parametrize("turn", [0.0, 30.0, 77.0])
def test_lobes_are_counted_at_every_angle(cell: Drawn, lobes: int, turn: float):
    assert named(cell.image(turn=turn))["nucleus_lobes"] == lobes


def test_lobes_that_touch_are_still_counted_and_leave_a_notch():
    found, round_ = named(Drawn(((-9, 0, 11), (9, 0, 11))).image()), named(ROUND.image())
    assert found["nucleus_lobes"] == named(Drawn(((-14, 0, 10), (14, 0, 10))).image())["nucleus_lobes"] == 2
    assert found["nucleus_solidity"] < round_["nucleus_solidity"]
    assert found["nucleus_indentation"] > round_["nucleus_indentation"] + 0.1


def test_two_discs_spread_as_the_parallel_axis_theorem_says():
    """Mean square distance: r^2 / 2 of each disc about its own centre, and the square of the centre's way off."""
    found = named(Drawn(((-14, 0, 10), (14, 0, 10))).image())
    wanted = np.sqrt(2 * (10**2 / 2 + 14**2)) / (10 * np.sqrt(2))
    assert found["nucleus_spread"] == pytest.approx(wanted, rel=0.04)
    assert found["nucleus_width"] == pytest.approx(1 / np.sqrt(2), abs=0.05)


@pytest.mark.parametrize("colour", [PINK, BLUE, (0.76, 0.60, 0.74)])
@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_the_colour_of_the_cytoplasm_is_the_one_drawn_against_glass_and_nucleus(colour: tuple[float, ...], gain: float):
    # A shorter exposure, or a darker lamp, changes no ratio to the glass.
    found = named(Drawn(((0, 0, 18),), cytoplasm=colour).image() * gain)
    cytoplasm, nucleus = (-np.log10(np.divide(one, GLASS)) for one in (colour, NUCLEUS))
    assert found["cytoplasm_density"] == pytest.approx(
        np.log((cytoplasm.sum() + 0.05) / (nucleus.sum() + 0.05)), abs=0.03
    )
    for name, band in (("cytoplasm_redness", 1), ("cytoplasm_yellowness", 2)):
        balances = [np.log((one[band] + 0.03) / (one[0] + 0.03)) for one in (cytoplasm, nucleus)]
        assert found[name] == pytest.approx(balances[0] - balances[1], abs=0.03), name
    assert found["granule_redness"] == pytest.approx((cytoplasm[1] - cytoplasm[0]) / nucleus[1], abs=0.03)


def test_a_stronger_stain_of_all_moves_no_colour_much():
    plain = ROUND.image()
    for name in ("cytoplasm_redness", "cytoplasm_yellowness", "cytoplasm_density", "granule_redness"):
        assert named(plain**1.2)[name] == pytest.approx(named(plain)[name], abs=0.12), name


def test_granules_and_vacuoles_raise_what_measures_them():
    plain = ROUND.image()
    y, x = np.mgrid[0:128, 0:128] - 63.5
    cytoplasm = (np.hypot(x, y) > 23) & (np.hypot(x, y) < 31)
    granular = np.where((cytoplasm & ((x // 2 + y // 2) % 2 == 0))[..., None], plain * 0.85, plain)
    assert named(granular)["granularity"] > named(plain)["granularity"] + 0.5
    holed = plain.copy()
    for angle in (0.3, 1.9, 3.6, 5.1):
        holed[np.hypot(x - 27 * np.cos(angle), y - 27 * np.sin(angle)) <= 2.5] = GLASS
    assert named(holed)["vacuolation"] > named(plain)["vacuolation"] + 0.03
    grain = np.random.default_rng(0).uniform(-0.08, 0.08, plain.shape[:2])
    clumped = np.where((np.hypot(x, y) < 19)[..., None], np.clip(plain + grain[..., None], 0, 1), plain)
    assert named(clumped)["chromatin_texture"] > named(plain)["chromatin_texture"] + 0.5
    assert named(clumped)["granularity"] == pytest.approx(named(plain)["granularity"], abs=0.1)


SHAPES = [name for name in NAMES if name.startswith(("nucleus", "cell", "nuclear"))]
LOOSE = {"nucleus_diameter": 2.0, "cell_diameter": 2.5, "nucleus_indentation": 0.1}


@given(turn=st.floats(0, 360), shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
@settings(max_examples=10, deadline=None)
def test_turning_and_moving_a_cell_changes_no_measurement(turn: float, shift: tuple[float, float]):
    here, there = named(TWO.image()), named(TWO.image(turn=turn, shift=shift))
    for name in SHAPES:
        assert there[name] == pytest.approx(here[name], abs=LOOSE.get(name, 0.07)), name
    for name in ("cytoplasm_density", "cytoplasm_redness", "cytoplasm_yellowness", "granule_redness"):
        assert there[name] == pytest.approx(here[name], abs=0.05), name


def test_scale_changes_the_diameters_and_nothing_else():
    small, large = named(THREE.image()), named(THREE.image(scale=1.75))
    for name in SHAPES:
        expected = small[name] * (1.75 if name.endswith("diameter") else 1)
        assert large[name] == pytest.approx(expected, abs=max(LOOSE.get(name, 0.07), 0.06 * expected)), name


def test_an_image_larger_than_the_working_size_gives_diameters_of_the_image_as_it_was_given():
    assert named(ROUND.image(scale=4.0))["nucleus_diameter"] == pytest.approx(160, rel=0.05)


def test_a_red_cell_that_touches_and_a_platelet_are_left_out():
    image, alone = ROUND.image(), named(ROUND.image())
    y, x = np.mgrid[0:128, 0:128] - 63.5
    image[np.hypot(x - 46, y - 20) <= 17] = np.where(
        (np.hypot(x, y) > 34)[np.hypot(x - 46, y - 20) <= 17][:, None], RED_CELL, image[np.hypot(x - 46, y - 20) <= 17]
    )
    image[np.hypot(x + 50, y + 50) <= 4] = NUCLEUS
    found = named(image)
    assert found["nucleus_lobes"] == 1
    assert found["cell_diameter"] == pytest.approx(alone["cell_diameter"], rel=0.08)


@pytest.mark.parametrize(
    "image",
    [
        np.ones((64, 64, 3)),
        np.zeros((64, 64, 3)),
        np.full((90, 70, 3), 0.6),
        np.ones((1, 1, 3)),
        np.ones((0, 0, 3)),
        np.ones((3, 200, 3)),
    ],
    ids=["white", "black", "one colour", "one pixel", "no pixel", "a strip"],
)
def test_without_a_cell_nothing_is_invented_and_the_record_says_so(image: np.ndarray):
    assert isinstance(segment(image), NotFound)
    reading = measure(image)
    assert np.isnan(reading.values).all()
    record = reading.to_record()
    assert record["failure"]
    assert record["unmeasured"] == list(NAMES)
    assert {one["value"] for one in record["measurements"].values()} == {None}


def test_a_nucleus_without_cytoplasm_has_no_colour_of_cytoplasm():
    reading = measure(Drawn(((0, 0, 25),), radius=25.5).image())
    assert reading.failure == ""
    of_cytoplasm = {"cytoplasm_density", "cytoplasm_redness", "cytoplasm_yellowness", "granule_redness"}
    assert set(reading.unmeasured) == of_cytoplasm | {"granularity", "vacuolation"}


@pytest.mark.parametrize(
    "image", [np.ones((64, 64)), np.ones((64, 64, 1)), np.full((64, 64, 3), 1.5), np.full((64, 64, 3), np.nan)]
)
def test_grey_images_and_wrong_ranges_are_refused(image: np.ndarray):
    with pytest.raises(OslerError) as caught:
        measure(image)
    assert caught.value.code is Code.INPUT_RANGE
