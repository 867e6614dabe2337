"""Where display values stand: the data set, functional groups, lookup tables; against pydicom and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from osler.dicom.display import display_of, spacing_of
from osler.dicom.pixels import apply_modality, read_image, read_stored
from osler.dicom.tables import read_table
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
Write = Callable[..., Path]
RAMP = np.arange(192, dtype="<u2").reshape(16, 12) * 20


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def table(entries: list[int], first: int, bits: int) -> Dataset:
    made = Dataset()
    made.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    made.add_new("LUTData", "US", entries)
    return made


def enhanced(make_radiograph: Make) -> Dataset:
    """Build two frames: rescaling of their own, a shared window and spacing, a window of its own for the second."""
    stack = np.stack([RAMP, RAMP[::-1]])
    dataset = make_radiograph(pixels=RAMP, PixelData=stack.tobytes(), NumberOfFrames=2, WindowCenter=1, WindowWidth=2)
    shared = item(
        FrameVOILUTSequence=[item(WindowCenter=1000, WindowWidth=500, VOILUTFunction="LINEAR_EXACT")],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25])],
    )
    own = [item(PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=-7)]) for slope in (1, 2)]
    own[1].FrameVOILUTSequence = [item(WindowCenter=2000, WindowWidth=900)]
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], own
    return dataset


def test_functional_groups_of_the_frame_go_first(make_radiograph: Make, write_dicom: Write) -> None:
    path = write_dicom(enhanced(make_radiograph))
    first, second = (read_image(path, frame=frame) for frame in (0, 1))
    assert first.window == {"kind": "window", "index": 0, "center": 1000, "width": 500, "function": "LINEAR_EXACT"}
    assert np.allclose(first.values, np.clip((RAMP - 7.0 - 1000) / 500 + 0.5, 0, 1), atol=1e-6)
    assert np.allclose(second.values, np.clip((2.0 * RAMP[::-1] - 7 - 1999.5) / 899 + 0.5, 0, 1), atol=1e-6)
    assert (first.spacing_mm, first.spacing_origin) == ((0.5, 0.25), "PixelSpacing")
    stored, header = read_stored(path, frame=1)
    assert header.windows == ((2000, 900),)
    assert np.allclose(stored * header.slope + header.offset, 2.0 * RAMP[::-1] - 7, atol=header.slope / 2)


@pytest.mark.parametrize("first", [-50, 0, 300])
def test_modality_table_is_pydicoms(make_radiograph: Make, first: int) -> None:
    pixels = RAMP.astype("<i2") - 100
    dataset = make_radiograph(pixels=pixels, PixelRepresentation=1, BitsStored=16, HighBit=15)
    dataset.ModalityLUTSequence = [table([index * 3 % 4000 for index in range(2000)], first, 16)]
    expected = apply_modality_lut(pixels, dataset)
    assert np.array_equal(apply_modality(display_of(dataset), pixels), expected)


def test_modality_table_goes_before_rescaling_and_window(make_radiograph: Make, write_dicom: Write) -> None:
    dataset = make_radiograph(pixels=RAMP, RescaleSlope=9, RescaleIntercept=9, WindowCenter=2000, WindowWidth=1000)
    dataset.ModalityLUTSequence = [table(list(range(4095, -1, -1)), 0, 12)]
    expected = np.clip((4095 - RAMP.astype(float) - 1999.5) / 999 + 0.5, 0, 1)
    assert np.allclose(read_image(write_dicom(dataset)).values, expected, atol=1e-6)


def test_table_of_packed_bytes_and_of_65536_entries() -> None:
    packed = item(LUTDescriptor=[4, 0, 8], LUTData=b"\x01\x02\x03\x04")
    assert read_table(packed, "LUTDescriptor", "LUTData").apply(np.arange(6)).tolist() == [1, 2, 3, 4, 4, 4]
    swapped = item(LUTDescriptor=[4, 0, 8], LUTData=b"\x02\x01\x04\x03")
    assert read_table(swapped, "LUTDescriptor", "LUTData", big_endian=True).entries.tolist() == [1, 2, 3, 4]
    full = item(LUTDescriptor=[0, 0, 16], LUTData=np.arange(65536, dtype="<u2")[::-1].tobytes())
    assert read_table(full, "LUTDescriptor", "LUTData").apply(np.array([0, 65535])).tolist() == [65535, 0]


def test_table_that_is_too_short_is_refused() -> None:
    with pytest.raises(OslerError) as caught:
        read_table(item(LUTDescriptor=[9, 0, 16], LUTData=b"\1\0" * 4), "LUTDescriptor", "LUTData")
    assert caught.value.code is Code.HEADER_INVALID


def test_padding_range_is_ignored(make_radiograph: Make, write_dicom: Write) -> None:
    dataset = make_radiograph(pixels=RAMP)
    dataset.add_new("PixelPaddingValue", "US", 0)
    dataset.add_new("PixelPaddingRangeLimit", "US", 100)
    image = read_image(write_dicom(dataset))
    assert image.window == {"kind": "full range", "low": 120, "high": RAMP.max()}
    assert np.all(image.values[RAMP <= 120] == 0)


def test_spacing_that_is_none_is_passed_over(make_radiograph: Make) -> None:
    assert spacing_of(make_radiograph(PixelSpacing=[0, 0])) == ((0.2, 0.2), "ImagerPixelSpacing")
    scanned = make_radiograph(ImagerPixelSpacing=None, NominalScannedPixelSpacing=[0.1, 0.1])
    assert spacing_of(scanned) == ((0.1, 0.1), "NominalScannedPixelSpacing")
