"""Measurements against drawn lesions, whose areas, shapes and colours are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.morphometry.golden import golden_lesion
from osler.morphometry.lesion import Lesion, NoLesion, segment
from osler.morphometry.lesion_measurements import MEASUREMENTS, NAMES, measure
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SKIN, BROWN, DARK, BLACK, GRAY = (
    (0.85, 0.68, 0.60),
    (0.66, 0.46, 0.30),
    (0.42, 0.26, 0.17),
    (0.1, 0.06, 0.05),
    (0.38, 0.44, 0.5),
)
Colour = tuple[float, float, float]


def drawn(
    tall: float = 40, wide: float = 40, *, turn: float = 0.0, at: tuple[float, float] = (0, 0), colour: Colour = BROWN,
    bite: float = 0.0, half: Colour | None = None, skin: Colour = SKIN,
) -> np.ndarray:  # fmt: skip
    """Draw an ellipse on skin (160, 200, 3), its half of another colour, and a disc bitten off its end."""
    y, x = np.mgrid[0:160:0.5, 0:200:0.5] - np.array([79.75 + at[0], 99.75 + at[1]])[:, None, None]
    angle = np.radians(turn)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    fine = np.broadcast_to(skin, (*x.shape, 3)).copy()
    inside = (u / wide) ** 2 + (v / tall) ** 2 <= 1
    fine[inside] = colour
    if half is not None:
        fine[inside & (u > 0)] = half
    if bite:
        fine[(u - wide) ** 2 + (v - tall * 0.5) ** 2 <= bite**2] = skin
    grain = 0.01 * np.random.default_rng(0).normal(size=(160, 200, 1))
    return np.clip(fine.reshape(160, 2, 200, 2, 3).mean(axis=(1, 3)) + grain, 0, 1)


def named(image: np.ndarray) -> dict[str, float]:
    reading = measure(image)
    assert reading.failure == ""
    return dict(zip(NAMES, reading.values, strict=True))


def test_every_measurement_has_a_name_a_unit_and_says_how_it_is_taken():
    assert len(set(NAMES)) == len(MEASUREMENTS) >= 30
    assert {one.unit for one in MEASUREMENTS} == {"1", "{counts}", "{CIELAB}", "{L*}", "{a*}", "{b*}"}
    assert all(len(one.meaning) > 20 for one in MEASUREMENTS)
    assert np.isfinite(measure(golden_lesion()).values).all()


def test_an_ellipse_measures_as_geometry_says():
    found = named(drawn(30, 50, turn=25))
    assert found["area_share"] == pytest.approx(np.pi * 30 * 50 / (160 * 200), rel=0.06)
    assert found["diameter_share"] == pytest.approx(100 / 200, abs=0.03)
    assert found["eccentricity"] == pytest.approx(0.8, abs=0.03)
    assert found["solidity"] > 0.96
    assert found["compactness"] == pytest.approx(ellipse_compactness(30, 50), abs=0.12)
    assert max(found["asymmetry_long_axis"], found["asymmetry_short_axis"]) < 0.04
    assert max(found["border_deviation"], abs(found["border_dimension"] - 1) / 2) < 0.06
    assert (found["cut_share"], found["colour_count"], found["dot_density"]) == (0, 1, 0)


def ellipse_compactness(a: float, b: float) -> float:
    """Perimeter by Ramanujan (1914)."""
    h = ((a - b) / (a + b)) ** 2
    perimeter = np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    return float(perimeter**2 / (4 * np.pi * np.pi * a * b))


def test_a_bite_makes_it_asymmetric_and_its_border_uneven():
    whole, bitten = named(drawn(32, 48)), named(drawn(32, 48, bite=24))
    for name in ("asymmetry_long_axis", "border_deviation", "compactness"):
        assert bitten[name] > whole[name] + 0.03
    assert bitten["solidity"] < whole["solidity"] - 0.03


def test_a_half_of_another_colour_is_asymmetry_of_colour_across_one_axis():
    found = named(drawn(30, 50, half=DARK))
    assert found["colour_asymmetry_short_axis"] > found["colour_asymmetry_long_axis"] + 8
    assert (found["light_brown_share"], found["dark_brown_share"]) == (
        pytest.approx(0.5, abs=0.06),
        pytest.approx(0.5, abs=0.06),
    )
    assert found["colour_count"] == 2


@pytest.mark.parametrize(
    ("colour", "name"), [(BROWN, "light_brown"), (DARK, "dark_brown"), (BLACK, "black"), (GRAY, "blue_gray"), ((0.75, 0.3, 0.25), "red")]
)  # fmt: skip
@pytest.mark.parametrize("light", [(1.0, 1.0, 1.0), (0.9, 0.98, 0.85)])
def test_a_colour_is_named_whatever_the_light(colour: Colour, name: str, light: Colour):
    found = named(np.clip(drawn(colour=colour) * light, 0, 1))
    assert found[f"{name}_share"] > 0.9
    assert bool(found["blue_white_veil_share"] > 0.8) is (name == "blue_gray")


def test_dots_are_counted_per_area():
    image = drawn(45, 45)
    y, x = np.mgrid[0:160, 0:200] - np.array([79.5, 99.5])[:, None, None]
    for angle in np.arange(8) * np.pi / 4:
        image[np.hypot(y - 25 * np.sin(angle), x - 25 * np.cos(angle)) <= 2.6] = BLACK
    # A disc of a tenth of the diameter is a hundredth of the lesion.
    assert named(image)["dot_density"] == pytest.approx(8 / 100, rel=0.25)
    assert named(image)["dot_contrast"] > named(drawn(45, 45))["dot_contrast"]


def test_a_net_raises_the_fine_texture_and_blotches_the_coarse_one():
    plain = drawn(45, 45)
    y, x = np.mgrid[0:160, 0:200]
    net = np.where((((x % 7) < 2) | ((y % 7) < 2))[..., None], plain * 0.8, plain)
    blotches = np.where((((x // 16) + (y // 16)) % 2 == 0)[..., None], plain * 0.8, plain)
    plain_, net_, blotched = (
        named(np.where(segmented(plain)[..., None], one, plain)) for one in (plain, net, blotches)
    )
    assert net_["network_texture"] > plain_["network_texture"] + 1
    assert blotched["coarse_texture"] > max(plain_["coarse_texture"], net_["coarse_texture"]) + 1


def segmented(image: np.ndarray) -> np.ndarray:
    found = segment(image)
    assert isinstance(found, Lesion)
    return found.mask


def test_dark_corners_hair_and_uneven_light_change_little():
    plain = drawn(30, 42)
    y, x = np.mgrid[-80:80, -100:100]
    worse = plain * (1 - 0.0012 * x)[..., None] * np.clip((118 - np.hypot(x, y)) / 8, 0.02, 1)[..., None]
    for offset in (-30, 10, 40):
        worse[np.abs(y - 0.5 * x - offset) < 1.0] = (0.1, 0.08, 0.07)
    found, wanted = (segmented(np.clip(one, 0, 1)) for one in (worse, plain))
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.95


@settings(max_examples=10, deadline=None)
@given(turn=st.floats(0, 180), row=st.integers(-15, 15), column=st.integers(-25, 25))
def test_turning_and_moving_a_lesion_changes_no_shape(turn: float, row: int, column: int):
    still, moved = named(drawn(26, 42, bite=16)), named(drawn(26, 42, bite=16, turn=turn, at=(row, column)))
    for name, most in {
        "asymmetry_long_axis": 0.03,
        "asymmetry_short_axis": 0.03,
        "solidity": 0.02,
        "contrast": 1.0,
    }.items():
        assert moved[name] == pytest.approx(still[name], abs=most), name


@pytest.mark.parametrize("image", [np.full((120, 120, 3), 0.7), np.ones((10, 10, 3))])
def test_where_there_is_no_lesion_nothing_is_measured_and_the_reason_is_said(image: np.ndarray):
    assert isinstance(segment(image), NoLesion)
    reading = measure(image)
    assert np.isnan(reading.values).all()
    assert reading.failure
    assert reading.to_record()["unmeasured"] == list(NAMES)


@pytest.mark.parametrize("image", [np.zeros((50, 50)), np.full((50, 50, 3), 1.2)])
def test_grey_images_and_other_ranges_are_refused(image: np.ndarray):
    with pytest.raises(OslerError) as caught:
        measure(image)
    assert caught.value.code is Code.INPUT_RANGE
