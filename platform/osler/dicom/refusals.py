"""Turning what pydicom raises into a refusal with a stable code, told without any value of the file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydicom.errors import BytesLengthException, InvalidDicomError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

Read = TypeVar("Read")

# What a refused file means and what to do about it; `osler quarantine explain` prints it.
EXPLANATIONS: dict[Code, tuple[str, str]] = {
    Code.ABSURD_SIZE: (
        "The header promises more pixels than any accepted image has.",
        "Check Rows, Columns and Number of Frames at the source.",
    ),
    Code.BURNED_IN_TEXT: (
        "The image shows text that may name the patient: more than side markers, position and exposure figures.",
        "Look at it; have the source send it without text, or ingest it with --burned-in box, which blanks the text.",
    ),
    Code.CONFLICTING_DUPLICATE: (
        "Another file with the same SOP Instance UID and a different content is in the archive already.",
        "Find out at the source which one is right; to take this one, remove the other from the source.",
    ),
    Code.DECODER_MISSING: (
        "No installed decoder reads this transfer syntax.",
        "Install one that does (`osler doctor` lists them), or have the source send it uncompressed.",
    ),
    Code.DECODE_CRASH: (
        "Reading the file ended the process that did it.",
        "Export the file again, uncompressed if the source can; a decoder met something that it cannot survive.",
    ),
    Code.DECODE_TIMEOUT: (
        "Reading the file took longer than a file may take.",
        "Export the file again, or split a very long multi-frame image at the source.",
    ),
    Code.DUPLICATE: (
        "The archive holds this content already.",
        "Nothing.",
    ),
    Code.FILE_MISSING: (
        "A DICOMDIR names this file, and it is not there (PS3.3 F.3.2.2, Referenced File ID).",
        "Copy the medium again, whole, or export the study once more.",
    ),
    Code.HEADER_INVALID: (
        "The header breaks the standard in a way that leaves the image without a safe reading.",
        "Have the source repair the header and send it again.",
    ),
    Code.LISTING_INCOMPLETE: (
        "The archive at the source lists fewer images of a study than it says the study has.",
        "Run the same command again; if it stays so, compare the study's count at the source.",
    ),
    Code.NO_PIXELS: (
        "The file is DICOM but holds no pixel data: a report, a plan, a directory (DICOMDIR), a waveform.",
        "Nothing, unless an image was expected: then export it again with its pixels.",
    ),
    Code.NOT_DICOM: (
        "The file has no DICOM marker behind its preamble (PS3.10 7.1).",
        "Take files of other kinds out of the folder, or wrap images with `osler dicomize`.",
    ),
    Code.OUT_OF_MEMORY: (
        "Reading the file needs more memory than one file may take.",
        "Check Rows, Columns and Number of Frames at the source, or split the image there.",
    ),
    Code.PATH_OUTSIDE: (
        "The name of a member or a referenced file leads out of its archive or medium.",
        "Do not trust this archive; have the source export it again.",
    ),
    Code.PIXEL_FORMAT_INVALID: (
        "The header's description of a pixel (samples, photometric interpretation, bits) contradicts itself.",
        "Have the source repair the header and send it again.",
    ),
    Code.PIXELS_UNDECODABLE: (
        "The pixel data cannot be decoded.",
        "Export the file again, uncompressed if the source can.",
    ),
    Code.TRANSFER_FAILED: (
        "The source announced this image and did not deliver it whole.",
        "Run the same command again: what was received is not fetched twice.",
    ),
    Code.TRUNCATED: (
        "The file ends before its content does: a transfer was cut off.",
        "Send the file again.",
    ),
    Code.UNREADABLE: (
        "The file cannot be read at all.",
        "Check the path, its permissions and the disk.",
    ),
    Code.ZIP_BOMB: (
        "A member of a zip would grow out of all proportion when unpacked.",
        "Unpack the file by hand if you trust its sender, and ingest the folder.",
    ),
    Code.ZIP_DAMAGED: (
        "A member of a zip cannot be unpacked, or its checksum does not match.",
        "Copy or export the zip again.",
    ),
    Code.ZIP_ENCRYPTED: (
        "A member of a zip is encrypted.",
        "Unpack it with its password and ingest the folder.",
    ),
}

# Where the standard says what such a file breaks; the other codes are limits of Osler's own.
CLAUSES: dict[Code, str] = {
    Code.ABSURD_SIZE: "PS3.3 C.7.6.3.1",
    Code.CONFLICTING_DUPLICATE: "PS3.5 9",
    Code.DECODER_MISSING: "PS3.5 10",
    Code.FILE_MISSING: "PS3.3 F.3.2.2",
    Code.HEADER_INVALID: "PS3.5 7.1",
    Code.NO_PIXELS: "PS3.3 C.7.6.3",
    Code.NOT_DICOM: "PS3.10 7.1",
    Code.PATH_OUTSIDE: "PS3.10 8.2",
    Code.PIXEL_FORMAT_INVALID: "PS3.3 C.7.6.3.1",
    Code.PIXELS_UNDECODABLE: "PS3.5 8",
    Code.TRUNCATED: "PS3.5 7.1",
}
# What a person may let in after a look; a file refused for anything else cannot enter as it is.
RELEASABLE = frozenset({Code.BURNED_IN_TEXT, Code.STUDY_OF_TWO_PATIENTS})


def refusal(code: Code, message: str | None = None) -> OslerError:
    """Return the refusal of a code, with its standing mend and a message of its own if one is given."""
    meaning, mend = EXPLANATIONS[code]
    return OslerError(code, message or meaning, mend)


@contextmanager
def refusing(mapped: Callable[[Exception], OslerError]) -> Iterator[None]:
    """Turn whatever the block raises into a refusal: malformed files make pydicom raise errors of every kind."""
    try:
        yield
    except OslerError:
        raise
    except MemoryError:
        raise refusal(Code.OUT_OF_MEMORY) from None
    except Exception as error:  # noqa: BLE001 - see above; the list of kinds has no end
        raise mapped(error) from None


def attempt(read: Callable[[], Read], otherwise: Read) -> Read:
    """Return what a reading gives, or another value where the file's own value is malformed."""
    try:
        return read()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as in `refusing`
        return otherwise


def from_header_error(error: Exception) -> OslerError:
    """Map what reading a header raised."""
    if isinstance(error, InvalidDicomError):
        return refusal(Code.NOT_DICOM)
    if isinstance(error, (EOFError, BytesLengthException, struct.error)):
        return refusal(Code.TRUNCATED)
    if isinstance(error, OSError):
        mapped = from_os_error(error)
        return mapped if mapped.code is Code.DISK_FULL else refusal(Code.UNREADABLE, _named(Code.UNREADABLE, error))
    return refusal(Code.HEADER_INVALID, _named(Code.HEADER_INVALID, error))


def from_pixel_error(error: Exception) -> OslerError:
    """Map what decoding pixels raised: AttributeError for a missing element, ValueError for a length, and the like."""
    if isinstance(error, OSError):
        return from_header_error(error)
    return refusal(Code.PIXELS_UNDECODABLE, _named(Code.PIXELS_UNDECODABLE, error))


def _named(code: Code, error: Exception) -> str:
    """Name the kind of error only: its text may quote the file."""
    return f"{EXPLANATIONS[code][0]} ({type(error).__name__})"
