"""JPEG streams (ISO/IEC 10918-1), as far as wrapping them unchanged needs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

_START_OF_SCAN, _COMMENT, _ADOBE = 0xDA, 0xFE, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
BASELINE = 0xC0


@dataclass(frozen=True)
class JpegStream:
    """A stream freed of its metadata.

    Attributes:
        content: The stream without comments and application segments: those hold cameras, places and names. Adobe's
            stays, since it says which colour space the samples are in. No sample is touched.
        baseline: Whether it is sequential with 8 bits a sample (process 1).
        photometric: Photometric Interpretation (PS3.5 8.2.1) of the samples.
    """

    content: bytes
    baseline: bool
    photometric: str


def parse_jpeg(content: bytes) -> JpegStream:
    """Walk the segments of a JPEG file up to its samples.

    Raises:
        ValueError: Where the segments do not follow each other as they must, or the components are not 1 or 3.
    """
    if content[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    kept, at = BytesIO(), 2
    kept.write(content[:2])
    frame: bytes | None = None
    kind, transform = 0, None
    while True:
        marker, size = _segment(content, at)
        body = content[at + 4 : at + 2 + size]
        if marker == _START_OF_SCAN:
            break
        if marker in _FRAMES:
            frame, kind = body, marker
        if marker == _ADOBE and body[:5] == b"Adobe" and len(body) >= 12:
            transform = body[11]
        if marker == _ADOBE or (marker != _COMMENT and marker not in _APPLICATION):
            kept.write(content[at : at + 2 + size])
        at += 2 + size
    if frame is None:
        raise ValueError("no frame before the samples")
    kept.write(content[at:])
    return JpegStream(kept.getvalue(), kind == BASELINE and frame[0] == 8, _photometric(frame, transform))


def _segment(content: bytes, at: int) -> tuple[int, int]:
    """Return marker and length of the segment at an offset."""
    if len(content) < at + 4 or content[at] != 0xFF:
        raise ValueError("no marker where one must be")
    marker, size = struct.unpack(">xBH", content[at : at + 4])
    if size < 2:
        raise ValueError("a segment without length")
    return int(marker), int(size)


def _photometric(frame: bytes, transform: int | None) -> str:
    """Read the colour space off the frame header: components, their sampling, and Adobe's transform."""
    components = frame[5]
    if components == 1:
        return "MONOCHROME2"
    if components != 3 or len(frame) < 15:
        raise ValueError("neither grey nor three colours")
    if transform == 0 or frame[6:15:3] == b"RGB":
        return "RGB"
    return "YBR_FULL" if frame[7] == frame[10] == frame[13] else "YBR_FULL_422"
