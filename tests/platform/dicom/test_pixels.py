"""Pixels against pydicom's own arrays and against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import JPEG2000MC, JPEG2000Lossless, JPEGLSLossless, RLELossless

from osler.dicom.decoders import decoder_plugin, decoder_table
from osler.dicom.pixels import read_image, read_stored
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
Write = Callable[..., Path]

GREY = ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "image_dfl.dcm"]
COLOUR = ["SC_rgb_small_odd.dcm", "SC_rgb_rle_2frame.dcm", "examples_rgb_color.dcm", "SC_ybr_full_422_uncompressed.dcm"]
RAMP = np.arange(192, dtype="<u2").reshape(16, 12) * 20


def shipped(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


@pytest.mark.parametrize("name", GREY)
def test_full_range_is_pydicoms_array_stretched(name: str) -> None:
    dataset = dcmread(shipped(name))
    values = apply_modality_lut(dataset.pixel_array, dataset).astype(float)
    expected = (values - values.min()) / np.ptp(values)
    image = read_image(shipped(name), window=None)
    assert np.allclose(image.values, expected, atol=1e-6)
    assert image.window == {"kind": "full range", "low": values.min(), "high": values.max()}


@pytest.mark.parametrize("name", COLOUR)
def test_colour_is_pydicoms_array_over_its_maximum(name: str) -> None:
    array = dcmread(shipped(name)).pixel_array
    frame = array[0] if array.ndim == 4 else array
    assert np.allclose(read_image(shipped(name)).values, frame / 255, atol=1e-6)


@pytest.mark.parametrize("name", [*GREY, *COLOUR])
def test_stored_values_lead_back(name: str) -> None:
    dataset = dcmread(shipped(name))
    array = dataset.pixel_array[0] if dataset.get("NumberOfFrames", 1) > 1 else dataset.pixel_array
    values = array if array.ndim == 3 else apply_modality_lut(array, dataset)
    stored, header = read_stored(shipped(name))
    assert stored.dtype == np.uint16
    assert np.allclose(stored * header.slope + header.offset, values, atol=header.slope / 2)


def test_later_frame() -> None:
    array = dcmread(shipped("SC_rgb_rle_2frame.dcm")).pixel_array
    assert np.allclose(read_image(shipped("SC_rgb_rle_2frame.dcm"), frame=1).values, array[1] / 255, atol=1e-6)


def test_palette() -> None:
    values = read_image(shipped("examples_palette.dcm")).values
    assert values.shape == (350, 800, 3)
    dataset = dcmread(shipped("examples_palette.dcm"))
    index = int(dataset.pixel_array[0, 0])
    red = np.frombuffer(dataset.RedPaletteColorLookupTableData, "<u2")[index]
    assert values[0, 0, 0] == pytest.approx(red / 65535)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_syntaxes_give_one_picture(make_radiograph: Make, write_dicom: Write, syntax: str) -> None:
    plain = read_image(write_dicom(make_radiograph(), "plain.dcm"))
    dataset = make_radiograph()
    dataset.compress(syntax)
    packed = read_image(write_dicom(dataset, "packed.dcm"))
    assert np.array_equal(plain.values, packed.values)
    assert packed.decoder.startswith(decoder_plugin(syntax))
    assert any(character.isdigit() for character in packed.decoder)


def test_chosen_window_is_recorded(make_radiograph: Make, write_dicom: Write) -> None:
    path = write_dicom(make_radiograph(pixels=RAMP, WindowCenter=[1000, 2000], WindowWidth=[2000, 400]))
    image = read_image(path, window=1)
    assert image.window == {"kind": "window", "index": 1, "center": 2000, "width": 400, "function": "LINEAR"}
    assert np.allclose(image.values, np.clip((RAMP - 1999.5) / 399 + 0.5, 0, 1), atol=1e-6)
    assert read_stored(path)[1].windows == ((1000, 2000), (2000, 400))
    with pytest.raises(OslerError) as caught:
        read_image(path, window=2)
    assert caught.value.code is Code.USAGE


def test_inversion_comes_last(make_radiograph: Make, write_dicom: Write) -> None:
    window = {"pixels": RAMP, "WindowCenter": 2048, "WindowWidth": 4096}
    plain = read_image(write_dicom(make_radiograph(**window), "2.dcm"))
    path = write_dicom(make_radiograph(**window, PhotometricInterpretation="MONOCHROME1"), "1.dcm")
    assert np.allclose(read_image(path).values, 1 - plain.values)
    assert read_stored(path)[1].inverted


def test_padding_is_black_and_does_not_stretch_the_range(make_radiograph: Make, write_dicom: Write) -> None:
    pixels = RAMP + 100
    pixels[0] = 4095
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        dataset = make_radiograph(pixels=pixels, PhotometricInterpretation=photometric)
        dataset.add_new("PixelPaddingValue", "US", 4095)
        image = read_image(write_dicom(dataset))
        assert np.all(image.values[0] == 0)
        assert image.window["high"] == pixels[1:].max()


def test_lookup_table_of_eight_bits_does_not_wrap(make_radiograph: Make, write_dicom: Write) -> None:
    dataset, item = make_radiograph(pixels=RAMP), Dataset()
    item.add_new("LUTDescriptor", "US", [256, 100, 8])
    item.add_new("LUTData", "US", list(range(256)))
    dataset.VOILUTSequence = [item]
    image = read_image(write_dicom(dataset))
    assert np.allclose(image.values, np.clip(RAMP.astype(int) - 100, 0, 255) / 255, atol=1e-6)
    assert image.window == {"kind": "lut", "index": 0}


def test_spacing_and_its_origin(make_radiograph: Make, write_dicom: Write) -> None:
    both = read_image(write_dicom(make_radiograph(PixelSpacing=[0.1, 0.3])))
    assert (both.spacing_mm, both.spacing_origin) == ((0.1, 0.3), "PixelSpacing")
    detector = read_image(write_dicom(make_radiograph()))
    assert (detector.spacing_mm, detector.spacing_origin) == ((0.2, 0.2), "ImagerPixelSpacing")
    none = read_image(write_dicom(make_radiograph(ImagerPixelSpacing=None)))
    assert (none.spacing_mm, none.spacing_origin) == (None, "unknown")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"PixelData": None}, Code.NO_PIXELS),
        ({"PixelData": b"\0" * 10}, Code.PIXELS_UNDECODABLE),
        ({"Rows": 60000, "Columns": 60000}, Code.ABSURD_SIZE),
        ({"Rows": None}, Code.HEADER_INVALID),
        ({"WindowCenter": 1, "WindowWidth": 0}, Code.HEADER_INVALID),
    ],
)
def test_failures_have_codes(make_radiograph: Make, write_dicom: Write, values: dict[str, object], code: Code) -> None:
    with pytest.raises(OslerError) as caught:
        read_image(write_dicom(make_radiograph(**values)))
    assert caught.value.code is code


def test_decoder_missing(make_radiograph: Make, write_dicom: Write) -> None:
    dataset = make_radiograph(PixelData=encapsulate([b"\xff\x4f\xff\x51"]))
    dataset.file_meta.TransferSyntaxUID = JPEG2000MC
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(OslerError) as caught:
        read_image(write_dicom(dataset))
    assert caught.value.code is Code.DECODER_MISSING
    table = decoder_table()
    assert table["RLE Lossless"]
    assert "MPEG2 Main Profile / Main Level" not in table
