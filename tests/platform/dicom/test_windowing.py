"""Windows against pydicom's own windowing and against the standard's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from osler.dicom.windowing import FUNCTIONS, apply_range, apply_window
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

centers = st.floats(-2000, 6000)
widths = st.floats(1, 8000)
functions = st.sampled_from(FUNCTIONS)
VALUES = np.arange(-1024, 4096, 7)


@given(centers, widths, functions)
def test_agrees_with_pydicom(center: float, width: float, function: str) -> None:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 12, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = center, width, function
    # A DS element rounds; both sides get the value that a file would hold.
    center, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    expected = apply_windowing(VALUES, dataset) / 4095
    assert np.allclose(apply_window(VALUES, center, width, function), expected, atol=1e-5)


@given(centers, widths, functions)
def test_rises_and_stays_a_fraction(center: float, width: float, function: str) -> None:
    result = apply_window(VALUES, center, width, function)
    assert np.all(np.diff(result) >= 0)
    assert result.min() >= 0
    assert result.max() <= 1


def test_linear_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1 with c = 2048, w = 4096: y = ((x - 2047.5) / 4095 + 0.5), so 0 and 4095 are the ends.
    assert apply_window(np.array([0, 4095, 1024]), 2048, 4096) == pytest.approx([0.0, 1.0, 1024 / 4095])


def test_sigmoid_formula_of_the_standard() -> None:
    expected = 1 / (1 + math.exp(-4 * (130 - 100) / 60))
    assert apply_window(np.array([130]), 100, 60, "SIGMOID")[0] == pytest.approx(expected)


def test_window_of_width_one_is_a_threshold() -> None:
    assert apply_window(np.array([9, 10]), 10, 1).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("width", "function"),
    [(0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-1, "SIGMOID"), (10, "CUBIC"), (math.nan, "LINEAR"), (math.inf, "SIGMOID")],
)
def test_refuses_invalid_windows(width: float, function: str) -> None:
    with pytest.raises(OslerError) as caught:
        apply_window(VALUES, 0, width, function)
    assert caught.value.code is Code.HEADER_INVALID


def test_range_without_extent_is_black() -> None:
    assert apply_range(np.full((2, 2), 7), 7, 7).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
@settings(max_examples=20)
@given(centers, widths, functions, st.booleans())
def test_whole_numbers_give_what_their_fractions_give(
    kind: type, center: float, width: float, function: str, at_the_top: bool
) -> None:
    limits = np.iinfo(kind)
    span = min(4095, limits.max - limits.min)  # at the ends of the type a difference would wrap around
    values = (limits.max - span if at_the_top else limits.min) + np.arange(span + 1)
    pixels = np.random.default_rng(0).permutation(np.tile(values, 2)).astype(kind)
    fractions = pixels.astype(np.float64)
    expected = apply_window(fractions, center, width, function)
    assert np.array_equal(apply_window(pixels, center, width, function), expected)
    assert np.array_equal(apply_range(pixels, center - width, center), apply_range(fractions, center - width, center))
