"""What the viewer sends to the browser is the stored image, whole, or shrunk by a stated factor."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from osler.dicom.pixels import StoredHeader
from osler.dicom.windowing import apply_window
from osler_dashboard.components.viewer import (
    LONGEST_PART,
    MOST_PIXELS,
    Maps,
    Shown,
    Wanted,
    shown_image,
    shown_maps,
    shown_part,
    shrink_factor,
    shrunk,
    visible_part,
    window_presets,
)


def unpacked(shown: Shown) -> np.ndarray:
    values = np.frombuffer(zlib.decompress(shown.packed), "<u2")
    return values.reshape(shown.head["shown_rows"], shown.head["shown_columns"])


def _header(**changes: object) -> StoredHeader:
    values = {"slope": 1.0, "offset": 0.0, "windows": (), "function": "LINEAR", "inverted": False, "spacing_mm": None}
    values |= {"spacing_origin": "unknown", "decoder": "native", "bits": 12}
    return StoredHeader(**(values | changes))  # type: ignore[arg-type]


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_pixels_arrive_as_they_are_stored(stored: np.ndarray) -> None:
    shown = shown_image(stored, _header())
    assert (shown.head["factor"], shown.head["rows"], shown.head["columns"]) == (1, *stored.shape)
    np.testing.assert_array_equal(unpacked(shown), stored)


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_an_image_is_shrunk_no_more_than_it_must_be(rows: int, columns: int) -> None:
    factor = shrink_factor(rows, columns)
    assert -(-rows // factor) * -(-columns // factor) <= MOST_PIXELS
    if factor > 1:
        assert -(-rows // (factor - 1)) * -(-columns // (factor - 1)) > MOST_PIXELS


@given(arrays(np.uint16, st.tuples(st.integers(1, 13), st.integers(1, 13))), st.integers(1, 5))
def test_shrinking_averages_blocks_and_those_at_the_edge(stored: np.ndarray, factor: int) -> None:
    rows, columns = stored.shape
    expected = [
        [stored[y : y + factor, x : x + factor].mean() for x in range(0, columns, factor)]
        for y in range(0, rows, factor)
    ]
    np.testing.assert_array_equal(shrunk(stored, factor), np.rint(expected))


def test_a_huge_image_is_shrunk_and_its_parts_come_in_full() -> None:
    stored = np.zeros((12_000, 12_000), np.uint16)
    stored[6000:6008, 7000:7004] = 1000
    shown = shown_image(stored, _header())
    assert shown.head["factor"] == 4
    assert (shown.head["rows"], shown.head["shown_rows"]) == (12_000, 3000)
    assert unpacked(shown)[1500:1502, 1750].tolist() == [1000, 1000]
    part = shown_part(stored, 0, (5990, 6990, 40, 30))
    np.testing.assert_array_equal(unpacked(part), stored[5990:6030, 6990:7020])
    at_the_edge = shown_part(stored, 0, (11_990, 11_990, 100, 100))
    assert at_the_edge.head["box"] == [11_990, 11_990, 10, 10]


def test_colour_is_shrunk_by_channel() -> None:
    stored = np.arange(4 * 6 * 3, dtype=np.uint16).reshape(4, 6, 3)
    for channel in range(3):
        np.testing.assert_array_equal(shrunk(stored, 2)[..., channel], shrunk(stored[..., channel], 2))


def test_maps_are_sent_as_bytes_of_strength() -> None:
    values = np.array([[[0.0, 0.5], [1.0, 2.0]], [[-1.0, 0.1], [0.2, 0.3]]])
    shown = shown_maps(Maps(("a", "b"), values, "what it means", (1.0, 2.0, 3.0, 4.0), 0))
    sent = np.frombuffer(zlib.decompress(shown.packed), np.uint8).reshape(2, 2, 2)
    np.testing.assert_array_equal(sent, np.rint(255 * np.clip(values, 0, 1)))
    assert shown.head["signs"] == ("a", "b")


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "x",
        {"study": "a", "images": ["b"]},
        {"study": "a", "region": [1, 2, 3]},
        {"study": "a", "region": [-1, 0, 5, 5]},
        {"study": "a", "region": [0, 0, 5, LONGEST_PART + 1]},
        {"images": [1]},
    ],
)
def test_what_is_no_request_is_passed_over(asked: object) -> None:
    assert Wanted.of(asked) is None


def test_a_request_is_read() -> None:
    assert Wanted.of({"study": "a", "images": [3, 4]}) == Wanted("a", (3, 4))
    assert Wanted.of({"study": "a", "image": 2, "region": [1, 2, 3, 4]}) == Wanted("a", (), 2, (1, 2, 3, 4))


def test_the_first_window_is_the_one_of_the_file() -> None:
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    presets = window_presets(stored, _header(windows=((2000.0, 900.0), (1000.0, 50.0))))
    assert [(one.name, one.center, one.width) for one in presets[:2]] == [
        ("As acquired", 2000.0, 900.0),
        ("As acquired, 2", 1000.0, 50.0),
    ]


@given(st.integers(0, 60000), st.integers(1, 5000), st.floats(0.1, 10), st.floats(-2000, 2000))
def test_full_range_shows_the_darkest_black_and_the_brightest_white(
    low: int, span: int, slope: float, offset: float
) -> None:
    stored = np.array([[low, low + span]], np.uint16)
    full = next(one for one in window_presets(stored, _header(slope=slope, offset=offset)) if one.name == "Full range")
    shown = apply_window(slope * stored + offset, full.center, full.width)
    np.testing.assert_allclose(shown, [[0.0, 1.0]], atol=1e-5)


def test_a_constant_image_has_valid_windows() -> None:
    for preset in window_presets(np.full((4, 4), 7, np.uint16), _header()):
        assert np.isfinite(apply_window(np.array([7.0]), preset.center, preset.width)).all()


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_a_cropping_encoder_sees_the_middle_square(rows: int, columns: int) -> None:
    top, left, height, width = visible_part("shortest", rows, columns)
    assert height == width == min(rows, columns)
    assert (2 * top + height, 2 * left + width) == (rows, columns)
    assert visible_part("squash", rows, columns) == (0, 0, rows, columns)
