"""What the viewer sends to the browser is the stored image, whole."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from osler.dicom.pixels import StoredHeader
from osler.dicom.windowing import apply_window
from osler_dashboard.components.viewer import image_payload, visible_part, window_presets


def _header(**changes: object) -> StoredHeader:
    values = {"slope": 1.0, "offset": 0.0, "windows": (), "function": "LINEAR", "inverted": False, "spacing_mm": None}
    values |= {"spacing_origin": "unknown", "decoder": "native", "bits": 12}
    return StoredHeader(**(values | changes))  # type: ignore[arg-type]


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_pixels_arrive_as_they_are_stored(stored: np.ndarray) -> None:
    payload = image_payload(stored, _header())
    sent = np.frombuffer(zlib.decompress(base64.b64decode(payload["values"])), "<u2")
    np.testing.assert_array_equal(sent.reshape(payload["rows"], payload["columns"]), stored)


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
