"""JPEG streams as Pillow writes them, freed of metadata and nothing else."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osler.dicomize.jpeg import parse_jpeg


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "options", "baseline", "photometric"),
    [
        ("L", {}, True, "MONOCHROME2"),
        ("RGB", {"subsampling": 0}, True, "YBR_FULL"),
        ("RGB", {"subsampling": 2}, True, "YBR_FULL_422"),
        ("RGB", {"keep_rgb": True}, True, "RGB"),
        ("L", {"progressive": True}, False, "MONOCHROME2"),
    ],
)
def test_kind_and_colour_space(mode: str, options: dict[str, Any], baseline: bool, photometric: str) -> None:
    stream = parse_jpeg(jpeg(mode, **options))
    assert (stream.baseline, stream.photometric) == (baseline, photometric)


def test_metadata_goes_and_samples_stay() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Grablowski"
    content = jpeg(exif=exif, comment=b"Zenobia")
    stream = parse_jpeg(content).content
    assert b"Grablowski" in content
    assert b"Zenobia" in content
    assert b"Grablowski" not in stream
    assert b"Zenobia" not in stream
    assert np.array_equal(np.asarray(Image.open(BytesIO(stream))), np.asarray(Image.open(BytesIO(content))))


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x00", jpeg()[:100], jpeg("CMYK")])
def test_what_is_no_such_stream(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_jpeg(content)
