"""Whether a header describes pixels that can be decoded safely: checked before any of them is."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from osler.dicom.refusals import refusal
from osler_contracts.codes import Code

# Decoded bytes, and frames, of one file; beyond them nothing is decoded.
MAX_DECODED_BYTES = 2 << 30
MAX_FRAMES = 1 << 16

# The keywords of pixel data; the first is whole numbers, the others fractions of 32 and 64 bits.
PIXEL_KEYWORDS = {"PixelData": None, "FloatPixelData": 32, "DoubleFloatPixelData": 64}
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
# YBR_PARTIAL_422 and YBR_PARTIAL_420 belong to video, the rest of the standard's list is retired (PS3.3 C.7.6.3.1.2).
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_BITS_ALLOCATED = frozenset({1, 8, 16, 24, 32, 40, 48, 56, 64})


def check_format(dataset: Dataset) -> str:
    """Refuse what cannot be decoded, or not safely, and return the keyword of the pixel data.

    Raises:
        OslerError: `no-pixels`; `absurd-size` for more bytes or frames than memory should be risked for;
            `header-invalid` where the size is not given; `pixel-format-invalid` where the description of a pixel
            contradicts itself (PS3.3 C.7.6.3, PS3.5 8.1.1).
    """
    found = [keyword for keyword in PIXEL_KEYWORDS if dataset.get(keyword) is not None]
    if not found:
        raise refusal(Code.NO_PIXELS)
    length = decoded_length(dataset)
    if length is None or length <= 0:
        raise refusal(Code.HEADER_INVALID, "The header does not say how large the image is.")
    if length > MAX_DECODED_BYTES or frame_count(dataset) > MAX_FRAMES:
        raise refusal(Code.ABSURD_SIZE)
    if len(found) > 1 or not (_samples_fit(dataset) and _bits_fit(dataset, found[0])):
        raise refusal(Code.PIXEL_FORMAT_INVALID)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and int(dataset.get("HighBit", -1)) + 1 != int(dataset.get("BitsStored") or 0):
        # A codestream has no unused low bits: decoders follow it or the header, and differ.
        message = "The header places the stored bits where a compressed frame cannot have them."
        raise refusal(Code.PIXEL_FORMAT_INVALID, message)
    if syntax == ExplicitVRBigEndian and int(dataset.BitsAllocated) > 16:
        # As 16-bit words (OW) or as whole samples: DCMTK and GDCM take the one, pydicom the other.
        message = "More than 16 bits a sample are read in two ways where the most significant byte comes first."
        raise refusal(Code.PIXEL_FORMAT_INVALID, message)
    return found[0]


def decoded_length(dataset: Dataset) -> int | None:
    """Return the bytes of all frames once decoded, None where the header does not say."""
    try:
        samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)
        return math.ceil(samples * frame_count(dataset) * int(dataset.BitsAllocated) / 8)
    except (AttributeError, TypeError, ValueError):
        return None


def frame_count(dataset: Dataset) -> int:
    """Return Number of Frames (0028,0008), 1 where it is absent or empty.

    Raises:
        ValueError: It is no whole number, or below 1: how many frames there are cannot be guessed.
    """
    value = dataset.get("NumberOfFrames")
    if value in (None, ""):
        return 1
    count = int(value)
    if count < 1:
        raise ValueError("a number of frames below 1")
    return count


def _samples_fit(dataset: Dataset) -> bool:
    samples = int(dataset.get("SamplesPerPixel") or 1)
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    if samples == 1:
        return photometric in _GREY
    return samples == 3 and photometric in _COLOUR and dataset.get("PlanarConfiguration") in (None, 0, 1)


def _bits_fit(dataset: Dataset, keyword: str) -> bool:
    allocated = int(dataset.BitsAllocated)
    if (fraction := PIXEL_KEYWORDS[keyword]) is not None:
        return allocated == fraction
    stored = int(dataset.get("BitsStored") or 0)
    high = int(dataset.get("HighBit", stored - 1))
    signed = dataset.get("PixelRepresentation")
    return allocated in _BITS_ALLOCATED and 1 <= stored <= high + 1 <= allocated and signed in (0, 1)
