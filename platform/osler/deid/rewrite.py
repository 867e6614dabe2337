"""Changing pixel data without touching what is not meant: blanked boxes, and bytes that are no pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from osler.deid.text_screen import Box
from osler.dicom.decoding import decode
from osler.dicom.pixel_format import decoded_length, frame_count

LOSSY = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 81, 91, 93, 203))
AT_ONCE = 256 << 20  # decoded bytes of all frames, up to which they are decoded together
_JPEG_FAMILY = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 92, 93))
# Of a JPEG stream's application segments these say how to read it: JFIF, SPIFF or HP's colour transform, Adobe's.
_NEEDED_SEGMENTS = {0xE0: b"JFIF\0", 0xE8: b"mrfx", 0xEE: b"Adobe"}
_COMMENT_2000 = 0x64


def each_frame(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Yield the frames, (H, W) or (H, W, 3); raises as `decode`."""
    count = frame_count(dataset)
    if count > 1 and (decoded_length(dataset) or 0) <= AT_ONCE:
        yield from decode(dataset, None)
        return
    for frame in range(count):
        yield decode(dataset, frame)


def blank(dataset: Dataset, boxes: tuple[Box, ...]) -> None:
    """Fill boxes with what is shown black, in every frame, and write the pixels uncompressed."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    pixels = np.stack([_blanked(frame, dataset, boxes) for frame in each_frame(dataset)])
    stored = pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
    content = pixels.astype(stored).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    _describe(dataset, pixels, syntax)


def strip_extras(dataset: Dataset) -> None:
    """Remove what pixel data carries beside pixels: bytes behind the last one, unused bits, comments in a codestream.

    Decoded values stay as they are. What cannot be taken apart is left: it was decoded, so it is pixels.
    """
    if "PixelData" not in dataset:
        return
    if UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        _strip_codestreams(dataset)
    else:
        _strip_native(dataset)


def _blanked(frame: NDArray[Any], dataset: Dataset, boxes: tuple[Box, ...]) -> NDArray[Any]:
    frame = np.array(frame)
    black = frame.max() if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else frame.min()
    for top, left, bottom, right in boxes:
        frame[top:bottom, left:right] = 0 if frame.ndim == 3 else black
    return frame


def _describe(dataset: Dataset, pixels: NDArray[Any], syntax: UID) -> None:
    """Let the header say how the pixels are stored now, and that they were changed."""
    if pixels.ndim == 4:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.HighBit = int(dataset.BitsStored) - 1
    if syntax.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        _forget_offsets(dataset)
        if str(syntax) in LOSSY:
            dataset.LossyImageCompression = "01"
    kinds = list(dataset.get("ImageType") or ["ORIGINAL", "PRIMARY"])
    dataset.ImageType = ["DERIVED", *kinds[1:]]


def _forget_offsets(dataset: Dataset) -> None:
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)


def _strip_native(dataset: Dataset) -> None:
    content = bytes(dataset.PixelData)
    length = decoded_length(dataset)
    if length is None:
        return
    if str(dataset.get("PhotometricInterpretation") or "") == "YBR_FULL_422":
        length = length // 3 * 2
    kept = _without_unused_bits(content[:length], dataset)
    if kept != content[:length] or any(content[length:]):
        dataset["PixelData"].value = kept + b"\0" * (len(kept) % 2)


def _without_unused_bits(content: bytes, dataset: Dataset) -> bytes:
    """Clear the bits outside the stored ones: embedded overlays and worse have been found there (PS3.5 8.1.1)."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or 0)
    high = int(dataset.get("HighBit", stored - 1))
    if allocated not in (8, 16, 32) or not 0 < stored < allocated or not stored - 1 <= high < allocated:
        return content
    big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    words = np.frombuffer(content, f"{'>' if big else '<'}u{allocated // 8}")
    mask = ((1 << stored) - 1) << (high + 1 - stored)
    outside = words & words.dtype.type(((1 << allocated) - 1) & ~mask)
    if not outside.any():
        return content
    kept = words & words.dtype.type(mask)
    if int(dataset.get("PixelRepresentation") or 0) == 1 and high + 1 < allocated:
        # The sign of a value in two's complement reaches up through the unused bits, and readers may rely on it.
        above = ((1 << allocated) - 1) & ~((1 << (high + 1)) - 1)
        negative = (words >> high) & 1 == 1
        kept = np.where(negative, kept | words.dtype.type(above), kept)
    return bytes(kept.astype(words.dtype).tobytes())


def _strip_codestreams(dataset: Dataset) -> None:
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    strip = _strip_jpeg if syntax in _JPEG_FAMILY else _strip_jpeg_2000 if syntax in _JPEG_2000 else None
    if strip is None:
        return
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    extended = None if table is None or lengths is None else (table, lengths)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=frame_count(dataset), extended_offsets=extended))
    stripped = [strip(frame) for frame in frames]
    if stripped == frames:
        return
    if extended is None:
        dataset["PixelData"].value = encapsulate(stripped)
    else:
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
            stripped
        )
    dataset["PixelData"].is_undefined_length = True


def _strip_jpeg(frame: bytes) -> bytes:
    """Leave out comments, application segments that no decoder needs, and what follows the end (ITU-T T.81 B.1)."""
    kept, at = [frame[:2]], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != 0xDA:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        segment = frame[at : at + 2 + length]
        application = 0xE0 <= marker <= 0xEF
        needed = application and marker in _NEEDED_SEGMENTS and segment[4:].startswith(_NEEDED_SEGMENTS[marker])
        if needed or not (application or marker == 0xFE):
            # A JFIF segment may carry a thumbnail behind its 18 bytes.
            kept.append(segment if marker != 0xE0 else b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0")
        at += 2 + length
    end = frame.rfind(b"\xff\xd9")
    if at >= len(frame) or end < at or frame[at : at + 2] != b"\xff\xda":
        return frame
    return b"".join(kept) + frame[at : end + 2]


def _strip_jpeg_2000(frame: bytes) -> bytes:
    """Leave out the comments of the main header, and what follows the end (ITU-T T.800 A.9.2)."""
    if frame[:4] != b"\xff\x4f\xff\x51":
        return frame
    kept, at = [frame[:2]], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != 0x90:
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        if frame[at + 1] != _COMMENT_2000:
            kept.append(frame[at : at + 2 + length])
        at += 2 + length
    end = frame.rfind(b"\xff\xd9")
    if end < at or frame[at : at + 2] != b"\xff\x90":
        return frame
    return b"".join(kept) + frame[at : end + 2]
