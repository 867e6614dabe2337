"""Reading headers: no pixels are touched, and whatever cannot be read becomes a refusal with a code.

`force=True` is never used: a file without the DICOM marker is not guessed at.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import parse_fragments
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from osler.dicom.identifiers import patient_identifiers, private_identifier
from osler.dicom.pixel_format import decoded_length
from osler.dicom.refusals import attempt, from_header_error, refusal, refusing
from osler_contracts.codes import Code
from osler_contracts.header_columns import KEYWORDS

UNDEFINED_LENGTH = 0xFFFFFFFF
META_START = 144  # preamble, marker, and the group length itself (PS3.10 7.1)
# What a deflated data set may come to; a kilobyte of zeros can stand for a megabyte.
MAX_INFLATED_BYTES = 512 << 20
_META_BEGIN, _META_AT_MOST = 132, 1 << 16  # behind preamble and marker
_CHUNK = 1 << 20
_PIXEL_ELEMENTS = (0x0008, 0x0009, 0x0010)  # of group 7FE0: float, double float, integer


@dataclass(frozen=True)
class Header:
    """What is known of a file before its pixels are read.

    Attributes:
        row: Values for the header table of `osler_contracts.headers`, without the key.
        identifiers: What identifies the patient; never to be written anywhere.
        warnings: What pydicom found wrong with values, by kind only.
    """

    row: Mapping[str, Any]
    identifiers: frozenset[str]
    warnings: tuple[str, ...]


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content; `unreadable` where it is no regular file or cannot be read."""
    with refusing(from_header_error):
        if not path.is_file():
            raise refusal(Code.UNREADABLE, "It is not a regular file, or a link that leads nowhere.")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def read_header(path: Path) -> Header:
    """Read a file's header and lay it out for the data contract.

    Raises:
        OslerError: `unreadable`, `not-dicom`, `truncated`, `no-pixels` (a DICOMDIR) or `header-invalid`. All other
            judgement, missing pixels included, is left to the contract.
    """
    with warnings.catch_warnings(record=True) as caught, refusing(from_header_error), path.open("rb") as stream:
        warnings.simplefilter("always")
        _check_inflated(stream)
        dataset = dcmread(stream, stop_before_pixels=True)
        _check_meta(dataset, os.fstat(stream.fileno()).st_size)
        identifiers = patient_identifiers(dataset)
        row = header_row(dataset, _pixel_element(stream, dataset), identifiers)
    return Header(row, identifiers, tuple(sorted({item.category.__name__ for item in caught})))


@dataclass(frozen=True)
class PixelElement:
    """The pixel data element as found: length in bytes, None where it is encapsulated."""

    length: int | None


def header_row(dataset: FileDataset, pixels: PixelElement | None, identifiers: frozenset[str]) -> dict[str, Any]:
    """Lay a header out as a row of the header table.

    Raises:
        OslerError: `no-pixels` for a DICOMDIR.
    """
    meta = dataset.file_meta
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise refusal(Code.NO_PIXELS, "The file is a DICOMDIR, the directory of a medium, and holds no image.")
    syntax = UID(meta.TransferSyntaxUID)
    row = {column: _value(dataset, keyword) for column, keyword in KEYWORDS.items()}
    expected = decoded_length(dataset)
    length = pixels.length if pixels is not None and not syntax.is_compressed else None
    return row | {
        "transfer_syntax_uid": str(syntax),
        "pixel_data_present": pixels is not None,
        "pixel_data_length": length,
        "pixel_length_expected": None if length is None else _native_length(dataset, expected),
        "decoded_length": expected,
        "private_identifier": private_identifier(dataset, identifiers),
    }


def _value(dataset: FileDataset, keyword: str) -> object:
    """Return one value as the table takes it; what cannot be read counts as text that no clause will accept."""
    value = attempt(lambda: dataset.get(keyword), "unreadable")
    return [str(item) for item in value] if hasattr(value, "append") else value if value is None else str(value)


def _native_length(dataset: FileDataset, expected: int | None) -> int | None:
    """Return the bytes that uncompressed pixel data takes up in the file: even, and a third less for YBR_FULL_422."""
    if expected is None:
        return None
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        expected = expected // 3 * 2
    return expected + expected % 2


def _check_meta(dataset: FileDataset, size: int) -> None:
    """Refuse file meta that the file is too short for (`truncated`), or that names no syntax (`header-invalid`)."""
    if size < META_START + int(dataset.file_meta.get("FileMetaInformationGroupLength") or 0):
        raise refusal(Code.TRUNCATED)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        raise refusal(Code.HEADER_INVALID, "The file does not name its transfer syntax.")


def _pixel_element(stream: BinaryIO, dataset: FileDataset) -> PixelElement | None:
    """Look at the element that stopped the reader, without reading its value.

    Raises:
        OslerError: `truncated` where compressed fragments, or the header itself, end before they should.
    """
    if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return _deflated_pixel_element(stream)
    implicit, little = dataset.original_encoding
    order: Literal["little", "big"] = "little" if little else "big"
    size = os.fstat(stream.fileno()).st_size
    begin, taken = stream.tell(), 8 if implicit else 12  # tag, length, and a long VR where it is explicit
    start = stream.read(taken)
    group, element = (int.from_bytes(start[at : at + 2], order) for at in (0, 2))
    if group != 0x7FE0 or element not in _PIXEL_ELEMENTS:
        _check_end(dataset, size)
        return None
    if len(start) < taken:
        raise refusal(Code.TRUNCATED)
    length = int.from_bytes(start[-4:], order)
    if length != UNDEFINED_LENGTH:
        return PixelElement(min(length, size - begin - taken))
    _check_fragments(stream, size)
    return PixelElement(None)


def _check_inflated(stream: BinaryIO) -> None:
    """Refuse a deflated data set that would come out absurdly large (`absurd-size`), without keeping any of it."""
    start = stream.read(_META_AT_MOST)
    stream.seek(0)
    if str(DeflatedExplicitVRLittleEndian).encode() not in start:
        return
    stream.seek(_META_BEGIN)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (packed := inflater.unconsumed_tail or stream.read(_CHUNK)) and not inflater.eof:
            inflated += len(inflater.decompress(packed, _CHUNK))
            if inflated > MAX_INFLATED_BYTES:
                raise refusal(Code.ABSURD_SIZE, "The data set is deflated and would come out absurdly large.")
    stream.seek(0)


def _deflated_pixel_element(stream: BinaryIO) -> PixelElement | None:
    """Inflate the whole file: where the pixels start cannot be known otherwise."""
    stream.seek(0)
    dataset = dcmread(stream)
    found = next((dataset[0x7FE0, element] for element in _PIXEL_ELEMENTS if (0x7FE0, element) in dataset), None)
    return None if found is None else PixelElement(len(found.value or b""))


def _check_fragments(stream: BinaryIO, size: int) -> None:
    """Walk the fragments (PS3.5 A.4): each must lie within the file, and at least one must follow the offset table."""
    try:
        count, offsets = parse_fragments(stream)
    except ValueError:
        raise refusal(Code.TRUNCATED) from None
    if count:
        stream.seek(offsets[-1] + 4)
        end = stream.tell() + 4 + int.from_bytes(stream.read(4), "little")
        if end > size:
            raise refusal(Code.TRUNCATED)
    if count < 2:
        raise refusal(Code.TRUNCATED, "The compressed pixel data holds no fragment.")


def _check_end(dataset: FileDataset, size: int) -> None:
    """Refuse a file whose last element does not end where the file does (`truncated`)."""
    tags = sorted(dataset.keys())
    last = dataset.get_item(tags[-1]) if tags else None
    if isinstance(last, RawDataElement) and last.length != UNDEFINED_LENGTH and last.value_tell + last.length != size:
        raise refusal(Code.TRUNCATED)
