"""Objects as large as at the source, in pixels and in the frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk

from osler.bottleneck.corrections.object_scale import ObjectScale, rescaled
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DrawImages = Callable[..., list[np.ndarray]]


def disc(side: int, diameter: float, colour: bool = False) -> np.ndarray:
    image = np.full((side, side), 0.1)
    image[disk((side / 2 - 0.5, side / 2 - 0.5), diameter / 2, shape=image.shape)] = 0.9
    return np.repeat(image[..., None], 3, axis=2) if colour else image


def diameter(image: np.ndarray) -> float:
    return float(2 * np.sqrt((image > 0.5).sum() / np.pi))


@settings(max_examples=25, deadline=None)
@given(zoom=st.floats(0.5, 1.8), frame=st.floats(0.6, 1.6), colour=st.booleans())
def test_a_disc_is_magnified_in_its_new_frame(zoom: float, frame: float, colour: bool):
    image = disc(80, 40, colour)
    got = rescaled(image, zoom, frame)
    assert got.shape[:2] == (round(80 * frame),) * 2
    assert got.ndim == image.ndim
    grey = got if got.ndim == 2 else got[..., 0]
    # Cut off nowhere, and its mirror not in the frame.
    if 40 * zoom < 80 * frame - 4 and frame < 1.4 * zoom:
        assert diameter(grey) == pytest.approx(40 * zoom, abs=2.5)
        assert grey[0, 0] == pytest.approx(0.1)
        rows, columns = np.nonzero(grey > 0.5)
        assert abs(rows.mean() - (len(grey) - 1) / 2) < 1.5
        assert abs(columns.mean() - (len(grey) - 1) / 2) < 1.5


def test_a_frame_is_filled_with_the_mirror_of_the_image():
    image = np.linspace(0, 1, 400).reshape(20, 20)
    got = rescaled(image, 1.0, 1.5)
    np.testing.assert_array_equal(got[5:25, 5:25], image)
    np.testing.assert_array_equal(got[:5, 5:25], image[:5][::-1])
    np.testing.assert_array_equal(got[5:25, 25:], image[:, -5:][:, ::-1])


def test_no_change_is_no_resampling(draw_images: DrawImages):
    image = draw_images(0)[0]
    np.testing.assert_array_equal(rescaled(image, 1.0, 1.0), image)


def test_a_site_gets_the_sources_diameter_and_frame(draw_images: DrawImages):
    one = ObjectScale(kappa=0)
    source = draw_images(0)
    # The same cells at 1.5 times the magnification, cut to another frame.
    site = [rescaled(image, 1.5, 1.3) for image in draw_images(0)]
    reference = one.measure(source)
    own = one.measure(site, reference)
    assert own["diameter"] / reference["diameter"] == pytest.approx(1.5, rel=0.05)
    got = list(one.match(site, own, reference))
    assert got[0].shape == source[0].shape
    again = one.measure(got, reference)
    assert float(again["diameter"]) == pytest.approx(float(reference["diameter"]), rel=0.05)
    assert float(again["side"]) == pytest.approx(float(reference["side"]), rel=0.02)
    inner = (slice(12, -12),) * 2
    assert np.abs(got[0][inner] - source[0][inner]).mean() < 0.03


def test_cells_and_nuclei_differ(draw_images: DrawImages):
    sizes = [
        float(ObjectScale(name).measure(draw_images(0))["diameter"]) for name in ("white_cell", "white_cell_nucleus")
    ]
    assert sizes[0] > 1.2 * sizes[1]


def test_a_lesion_is_found_on_skin():
    skin, brown = np.array([0.85, 0.65, 0.55]), np.array([0.35, 0.2, 0.15])
    image = skin + (disc(96, 40)[..., None] > 0.5) * (brown - skin)
    image = np.clip(image + np.random.default_rng(0).normal(0, 0.01, image.shape), 0, 1)
    one = ObjectScale("lesion")
    assert float(one.measure([image])["diameter"]) == pytest.approx(40, rel=0.15)
    with pytest.raises(OslerError) as caught:
        one.measure([np.clip(np.tile(skin, (96, 96, 1)), 0, 1)])
    assert caught.value.code is Code.NOTHING_ELIGIBLE


def test_what_shows_no_object_counts_for_nothing(draw_images: DrawImages):
    one, images = ObjectScale(kappa=0), draw_images(2)
    black = np.zeros((60, 60, 3))
    reference = one.measure(draw_images(0))
    some = one.measure([*images, black], reference)
    assert int(some["count"]) == len(images)
    for key in ("diameter", "side"):
        np.testing.assert_array_equal(some[key], one.measure(images, reference)[key])
        np.testing.assert_array_equal(one.measure([black], reference)[key], reference[key])
    with pytest.raises(OslerError) as caught:
        one.measure([black])
    assert caught.value.code is Code.NOTHING_ELIGIBLE
    with pytest.raises(OslerError) as caught:
        one.measure([black[..., 0]], reference)
    assert caught.value.code is Code.INPUT_RANGE


def test_only_so_many_are_segmented_and_no_factor_is_absurd(draw_images: DrawImages):
    assert int(ObjectScale(most=3).measure(draw_images(2))["count"]) == 3
    one, image = ObjectScale(), disc(40, 10)
    far = {"diameter": np.array(1.0), "side": np.array(1.0)}, {"diameter": np.array(900.0), "side": np.array(40.0)}
    assert one.match([image], *far)[0].shape == (160, 160)
    assert one.match([image], *far[::-1])[0].shape == (10, 10)
