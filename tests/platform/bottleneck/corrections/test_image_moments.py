"""Pixels with the source's mean and deviation, in CIELAB or in grey."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab
from skimage.exposure import match_histograms

from osler.bottleneck.corrections.image_moments import ImageMoments
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DrawImages = Callable[..., list[np.ndarray]]


def soft(seed: int, count: int = 4, side: int = 40, colour: bool = True) -> list[np.ndarray]:
    """Draw images far from black, white and the edge of the gamut."""
    draw = np.random.default_rng(seed)
    middle, width = draw.uniform(0.4, 0.6, 3), draw.uniform(0.02, 0.05, 3)
    images = [np.clip(middle + width * draw.normal(size=(side, side, 3)), 0.05, 0.95) for _ in range(count)]
    return images if colour else [image[..., 0] for image in images]


def matched(one: ImageMoments, batch: list[np.ndarray], source: list[np.ndarray]) -> list[np.ndarray]:
    reference = one.measure(source)
    return list(one.match(batch, one.measure(batch, reference), reference))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), colour=st.booleans())
def test_a_batch_gets_the_sources_moments(seed: int, colour: bool):
    batch, source = soft(seed, colour=colour), soft(seed + 100, colour=colour)
    got = matched(ImageMoments(kappa=0), batch, source)
    pixels = [
        np.concatenate([(rgb2lab(one) if colour else one).reshape(-1, 3 if colour else 1) for one in some])
        for some in (got, source)
    ]
    np.testing.assert_allclose(pixels[0].mean(0), pixels[1].mean(0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(pixels[0].std(0), pixels[1].std(0), rtol=1e-2, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), gain=st.floats(0.5, 1.5), shift=st.floats(-0.1, 0.1))
def test_another_gain_and_offset_of_grey_are_undone(seed: int, gain: float, shift: float):
    batch, source = soft(seed, colour=False), soft(seed + 100, colour=False)
    for transfer in ("moments", "quantiles"):
        one = ImageMoments(transfer, kappa=0)  # type: ignore[arg-type]
        moved = [np.clip((image - 0.5) * gain + 0.5 + shift, 0, 1) for image in batch]
        for plain, other in zip(matched(one, batch, source), matched(one, moved, source), strict=True):
            # Beyond the outermost of 101 quantiles a line goes on, which a gain turns.
            np.testing.assert_allclose(plain, other, atol=1e-6 if transfer == "moments" else 0.05)


def test_what_differs_between_two_images_of_a_site_stays():
    batch = soft(0, colour=False)
    batch[1] = batch[1] + 0.2
    got = matched(ImageMoments(kappa=0), batch, soft(7, colour=False))
    means, before = np.array([one.mean() for one in got]), np.array([one.mean() for one in batch])
    np.testing.assert_array_equal(np.argsort(means), np.argsort(before))
    np.testing.assert_allclose(np.diff(means) / np.ptp(means), np.diff(before) / np.ptp(before), atol=1e-6)


def test_quantiles_are_matched_as_the_library_matches_histograms():
    draw = np.random.default_rng(0)
    image, source = draw.beta(2, 5, (32, 32)), draw.beta(5, 2, (32, 32))
    got = matched(ImageMoments("quantiles", kappa=0), [image], [source])[0]
    # The library goes by every pixel; the outermost of 1024 lie beyond the outermost of 101 quantiles.
    assert np.quantile(np.abs(got - match_histograms(image, source)), 0.98) < 0.02
    assert np.abs(np.sort(got.ravel()) - np.sort(source.ravel())).mean() < 0.002


def test_a_border_that_many_pixels_share_moves_as_one():
    image = np.zeros((32, 32))
    image[8:] = np.random.default_rng(0).uniform(0.2, 0.8, (24, 32))
    got = matched(ImageMoments("quantiles", kappa=0), [image], [np.clip(image + 0.1, 0, 1)])[0]
    assert np.ptp(got[:8]) == 0
    np.testing.assert_allclose(got, np.clip(image + 0.1, 0, 1), atol=0.02)


def test_a_black_image_says_nothing_and_is_survived(draw_images: DrawImages):
    one, source, batch = ImageMoments(kappa=0), draw_images(0), draw_images(5)
    reference = one.measure(source)
    with_black = [*batch, np.zeros((50, 50, 3)), np.full((50, 50, 3), 0.7)]
    for key, value in one.measure(batch, reference).items():
        np.testing.assert_array_equal(one.measure(with_black, reference)[key], value)
    assert all(np.isfinite(image).all() for image in one.match(with_black, one.measure(batch, reference), reference))
    black = with_black[-2:-1]
    for key in ("mean", "std"):
        np.testing.assert_array_equal(one.measure(black, reference)[key], reference[key])
    with pytest.raises(OslerError) as caught:
        one.measure(black)
    assert caught.value.code is Code.NOTHING_ELIGIBLE


def test_colours_that_no_screen_shows_are_cut_off_quietly():
    one = ImageMoments(kappa=0)
    draw = np.random.default_rng(0)
    dull = [0.5 + 0.02 * draw.normal(size=(20, 20, 3)) for _ in range(2)]
    gaudy = [draw.uniform(size=(20, 20, 3)) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = np.stack(matched(one, dull, gaudy))
        yellow = one.match([np.full((5, 5, 3), [1.0, 1.0, 0.0])], one.measure(dull), one.measure(gaudy))[0]
    assert (got.min(), got.max()) == (0, 1)
    assert np.isfinite(yellow).all()


def test_other_channels_and_ranges_are_refused():
    one, colour, grey = ImageMoments(), soft(0), soft(0, colour=False)
    reference = one.measure(colour)
    wrong: list[Callable[[], object]] = [
        lambda: one.measure([*colour, *grey]),
        lambda: one.measure(grey, reference),
        lambda: list(one.match(grey, reference, reference)),
        lambda: one.measure([np.zeros((8, 8, 4))]),
        lambda: one.measure([np.full((8, 8), 255.0)]),
        lambda: one.measure([np.full((8, 8), np.nan)]),
        lambda: one.measure([np.zeros((0, 8))]),
    ]
    for case in wrong:
        with pytest.raises(OslerError) as caught:
            case()
        assert caught.value.code is Code.INPUT_RANGE


def test_no_image_is_held_until_it_is_read():
    class Counted(list[np.ndarray]):
        reads = 0

        def __getitem__(self, place: int) -> np.ndarray:  # type: ignore[override]
            self.reads += 1
            return super().__getitem__(place)

    one, batch = ImageMoments(), Counted(soft(0))
    got = one.match(batch, one.measure(soft(1)), one.measure(soft(2)))
    assert (len(got), batch.reads) == (4, 0)
    assert got[-1].shape == batch[3].shape
    assert len(got[1:3]) == 2
    assert batch.reads == 4
