"""Stored values: every width, sign and layout, and what is refused before any decoder sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_extended, generate_frames
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless

from osler.dicom.decoding import check_decodable, decode
from osler.dicom.pixel_format import MAX_FRAMES
from osler.dicom.pixels import read_image
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
Write = Callable[..., Path]
RAMP = np.arange(192, dtype="<u2").reshape(16, 12) * 20


def shipped(name: str) -> Dataset:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return dcmread(path)


@given(st.data())
def test_stored_bits_at_any_place_in_the_word(make_radiograph: Make, data: st.DataObject) -> None:
    allocated = data.draw(st.sampled_from([8, 16, 32]))
    stored = data.draw(st.integers(1, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    signed = data.draw(st.booleans())
    low, top = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    values = np.array(data.draw(st.lists(st.integers(low, top), min_size=6, max_size=6))).reshape(2, 3)
    above = high + 1 - stored
    noise = data.draw(st.integers(0, 2**allocated - 1)) & ~(((1 << stored) - 1) << above)
    words = ((values & ((1 << stored) - 1)) << above) | noise
    content = words.astype(f"<u{allocated // 8}").tobytes()
    dataset = make_radiograph(
        pixels=np.zeros((2, 3), "<u2"),
        PixelData=content,
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high,
        PixelRepresentation=int(signed),
    )
    assert np.array_equal(decode(dataset), values)


def test_fractions_are_shown_over_their_range_and_what_is_no_number_as_air(
    make_radiograph: Make, write_dicom: Write
) -> None:
    values = np.array([[0.5, -1.5, np.nan], [2.5, np.inf, 0.0]], "<f4")
    dataset = make_radiograph(pixels=np.zeros((2, 3), "<u2"), PixelData=None, BitsAllocated=32)
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, keyword)
    dataset.FloatPixelData = values.tobytes()
    image = read_image(write_dicom(dataset))
    assert image.window == {"kind": "full range", "low": -1.5, "high": 2.5}
    assert np.allclose(image.values, [[0.5, 0, 0], [1, 0, 0.375]])
    assert image.bits == 32


def test_extended_offset_table(make_radiograph: Make) -> None:
    stack = np.stack([RAMP, RAMP[::-1]])
    dataset = make_radiograph(pixels=RAMP, PixelData=stack.tobytes(), NumberOfFrames=2)
    dataset.compress(JPEGLSLossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=2))
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    assert np.array_equal(decode(dataset, None), stack)
    assert check_decodable(dataset).decoder.plugin == "pyjpegls"


@pytest.mark.parametrize(
    "values",
    [
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "MONOCHROME3"},
        {"SamplesPerPixel": 2},
        {"SamplesPerPixel": 4, "PhotometricInterpretation": "CMYK"},
        {"BitsAllocated": 12},
        {"BitsStored": 17},
        {"HighBit": 3},
        {"HighBit": 16},
        {"PixelRepresentation": 2},
        {"FloatPixelData": b"\0" * 8},
    ],
)
def test_descriptions_that_contradict_themselves(make_radiograph: Make, values: dict[str, object]) -> None:
    with pytest.raises(OslerError) as caught:
        decode(make_radiograph(**values))
    assert caught.value.code is Code.PIXEL_FORMAT_INVALID


def test_more_frames_than_are_risked(make_radiograph: Make) -> None:
    small = make_radiograph(Rows=1, Columns=1, NumberOfFrames=MAX_FRAMES + 1)
    with pytest.raises(OslerError) as caught:
        check_decodable(small)
    assert caught.value.code is Code.ABSURD_SIZE


def test_wide_samples_in_big_endian_have_two_readings(make_radiograph: Make) -> None:
    dataset = make_radiograph(pixels=np.zeros((2, 2), "<u4"), BitsAllocated=32, BitsStored=32, HighBit=31)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    with pytest.raises(OslerError) as caught:
        check_decodable(dataset)
    assert caught.value.code is Code.PIXEL_FORMAT_INVALID


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_compressed_frame_of_another_size(make_radiograph: Make, keyword: str) -> None:
    dataset = make_radiograph()
    dataset.compress(JPEG2000Lossless)
    setattr(dataset, keyword, 60)
    with pytest.raises(OslerError) as caught:
        check_decodable(dataset)
    assert caught.value.code is Code.PIXELS_UNDECODABLE


def test_jpeg_of_twelve_bits_and_lossless_jpeg_are_decoded_by_gdcm() -> None:
    wide = shipped("JPGExtended.dcm")
    assert check_decodable(wide).decoder.label.startswith("gdcm-12bit (python-gdcm ")
    assert (decode(wide).shape, decode(wide).max()) == ((1024, 256), 264)
    assert check_decodable(shipped("SC_rgb_jpeg_gdcm.dcm")).decoder.plugin == "gdcm"


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"])
def test_compressed_colour_has_no_planes(name: str) -> None:
    dataset = shipped(name)
    dataset.PlanarConfiguration = 0
    expected = decode(dataset)
    dataset.PlanarConfiguration = 1
    assert np.array_equal(decode(dataset), expected)


def test_damaged_jpeg_over_which_two_decoders_disagree() -> None:
    dataset = shipped("SC_rgb_jpeg_dcmtk.dcm")
    content = bytearray(dataset.PixelData)
    content[700:703] = b"\x5a\x00\x13"  # in the entropy-coded part, where Pillow notices nothing
    dataset.PixelData = bytes(content)
    assert decode(dataset).shape == (100, 100, 3)
    with pytest.raises(OslerError) as caught:
        check_decodable(dataset)
    assert caught.value.code is Code.PIXELS_UNDECODABLE
