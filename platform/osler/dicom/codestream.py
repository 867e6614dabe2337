"""What a compressed frame says of itself, read before any decoder sees it.

A decoder allocates by its codestream, not by the DICOM header: the two are compared first, so that a few bytes cannot
ask for gigabytes, and a frame of another image is not shown as this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from osler.dicom.refusals import refusal
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Markers of a frame header (ISO 10918-1 B.1.1.3, ISO 14495-1 C.1.1), and those that stand alone.
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_BOX_AT_MOST = 4096
_JPEG = frozenset({*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes})
_JPEG_2000 = frozenset(JPEG2000TransferSyntaxes)  # high-throughput JPEG 2000 among them


@dataclass(frozen=True)
class Codestream:
    """Size of a frame, samples a pixel and bits a sample, by its codestream."""

    rows: int
    columns: int
    samples: int
    precision: int


def read_codestream(frame: bytes, transfer_syntax: str) -> Codestream | None:
    """Read the head of a compressed frame.

    Returns:
        None for a transfer syntax whose frames do not say (RLE).

    Raises:
        OslerError: `pixels-undecodable` where there is no such head.
    """
    try:
        if transfer_syntax in _JPEG:
            return _read_jpeg(frame)
        return _read_jpeg_2000(frame) if transfer_syntax in _JPEG_2000 else None
    except IndexError:
        raise _headless() from None


def _read_jpeg(frame: bytes) -> Codestream:
    if frame[:2] != b"\xff\xd8":
        raise _headless()
    at = 2
    while True:
        if frame[at] != 0xFF:
            raise _headless()
        while frame[at] == 0xFF:  # fill bytes may precede a marker
            at += 1
        marker = frame[at]
        at += 1
        if marker in _FRAME_HEADERS:
            return Codestream(_number(frame, at + 3, 2), _number(frame, at + 5, 2), frame[at + 7], frame[at + 2])
        if marker not in _ALONE:
            at += _number(frame, at, 2)


def _read_jpeg_2000(frame: bytes) -> Codestream:
    """Read the size segment (ISO 15444-1 A.5.1); some writers leave the boxes of a JP2 file before it."""
    start = frame[:_JP2_BOX_AT_MOST].find(_J2K_START)
    if start < 0:
        raise _headless()
    right, bottom, left, top = (_number(frame, start + 8 + 4 * index, 4) for index in range(4))
    return Codestream(bottom - top, right - left, _number(frame, start + 40, 2), (frame[start + 42] & 0x7F) + 1)


def _number(frame: bytes, at: int, size: int) -> int:
    if at + size > len(frame):
        raise _headless()
    return int.from_bytes(frame[at : at + size], "big")


def _headless() -> OslerError:
    return refusal(Code.PIXELS_UNDECODABLE, "A compressed frame does not begin as its transfer syntax demands.")
