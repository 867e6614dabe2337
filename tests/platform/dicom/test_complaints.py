"""Damage that decoders of JPEG pass over is heard of, and no sound encoding is taken for damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from osler.dicom.complaints import listening
from osler.dicom.decoding import check_decodable
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
KINDS = ("SC_rgb_dcmtk_+eb+cy+np.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm")  # 8 bits, 12 bits, lossless
END = b"\xff\xd9"


def shipped(name: str) -> tuple[Dataset, list[bytes]]:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    dataset = dcmread(path)
    return dataset, list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))


def refuses(dataset: Dataset, frames: list[bytes]) -> None:
    dataset.PixelData = encapsulate(frames)
    with pytest.raises(OslerError) as raised:
        check_decodable(dataset)
    assert raised.value.code is Code.PIXELS_UNDECODABLE


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_data_that_end_early(name: str, kept: float) -> None:
    dataset, (first, *others) = shipped(name)
    body = first[: first.rindex(END)]
    start = body.index(b"\xff\xda")
    refuses(dataset, [body[: start + int((len(body) - start) * kept)] + END, *others])


@pytest.mark.parametrize("name", KINDS)
def test_data_that_go_on_too_long(name: str) -> None:
    dataset, (first, *others) = shipped(name)
    body = first[: first.rindex(END)]
    refuses(dataset, [body + b"\x5a" * 40 + END, *others])


def test_damage_in_a_later_frame() -> None:
    dataset, frames = shipped("examples_ybr_color.dcm")
    assert len(frames) > 20
    at = frames[20].index(b"\xff\xda") + 400
    refuses(dataset, [*frames[:20], frames[20][:at] + frames[20][-200:], *frames[21:]])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 100),
    st.sampled_from([0, 1, 2, None]),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_sound_encodings_are_accepted(
    make_radiograph: Make,
    rows: int,
    columns: int,
    quality: int,
    chroma: int | None,
    tables: bool,
    restart: int,
    seed: int,
) -> None:
    """Of every quality, subsampling, size and restart interval, with tables of the image's own, grey and coloured."""
    samples = 1 if chroma is None else 3
    values = (
        np.random.default_rng(seed).integers(0, 256, (rows, columns, samples), "u1").squeeze(-1 if samples == 1 else ())
    )
    stream = BytesIO()
    options = {} if chroma is None else {"subsampling": chroma}
    Image.fromarray(values).save(
        stream, "JPEG", quality=quality, optimize=tables, restart_marker_blocks=restart, **options
    )
    dataset = make_radiograph(
        Rows=rows,
        Columns=columns,
        SamplesPerPixel=samples,
        PlanarConfiguration=0 if samples == 3 else None,
        PhotometricInterpretation="YBR_FULL_422" if samples == 3 else "MONOCHROME2",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=encapsulate([stream.getvalue()]),
    )
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset["PixelData"].is_undefined_length = True
    assert check_decodable(dataset).decoder.plugin == "pillow"


def test_the_stream_is_given_back_and_chatter_is_not_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with listening() as damage_was_told:
        os.write(2, b"Name^Patient\n")
        assert not damage_was_told()
        os.write(2, b"Corrupt JPEG data: premature end of data segment\n")
        assert damage_was_told()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_the_stream_is_given_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="within"), listening():
        raise ValueError("within")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
