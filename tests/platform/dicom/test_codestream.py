"""Heads of compressed frames, made by encoders and by hand."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from osler.dicom.codestream import Codestream, read_codestream
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def jpeg(shape: tuple[int, ...]) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(("shape", "samples"), [((7, 9), 1), ((16, 5, 3), 3)])
def test_jpeg_by_pillow(shape: tuple[int, ...], samples: int) -> None:
    assert read_codestream(jpeg(shape), JPEGBaseline8Bit) == Codestream(*shape[:2], samples, 8)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_frames_of_pydicoms_encoders(make_radiograph: Callable[..., Dataset], syntax: str) -> None:
    dataset = make_radiograph()
    dataset.compress(syntax)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert read_codestream(frame, syntax) == Codestream(dataset.Rows, dataset.Columns, 1, 12)


def test_rle_does_not_say() -> None:
    assert read_codestream(b"", RLELossless) is None


@given(st.binary(max_size=64), st.sampled_from([JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless]))
def test_any_bytes_are_read_or_refused(content: bytes, syntax: str) -> None:
    for frame in (content, b"\xff\xd8" + content, b"\xff\x4f\xff\x51" + content):
        refused, found = None, None
        try:
            found = read_codestream(frame, syntax)
        except OslerError as error:
            refused = error.code
        assert (found is None) == (refused is Code.PIXELS_UNDECODABLE)


@given(st.integers(0, 200))
def test_a_head_that_is_cut_off_is_refused(kept: int) -> None:
    whole = jpeg((7, 9))
    head = whole.index(b"\xff\xc0") + 10
    if kept < head:
        with pytest.raises(OslerError):
            read_codestream(whole[:kept], JPEGBaseline8Bit)
