"""Pixels as a model or a viewer wants them, with the record of how they came about.

Order of the standard's pipeline (PS3.3 C.11, PS3.4 N.2): stored values, modality LUT, VOI LUT or window, and last the
inversion of MONOCHROME1, so that white is always dense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import iter_pixels, pixel_array

from osler.dicom.decoders import NATIVE, decoder_label, decoder_plugin
from osler.dicom.refusals import from_header_error, from_pixel_error, refusal, refusing
from osler.dicom.windowing import Values, apply_range, apply_window
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Decoded bytes of all frames together; beyond it nothing is decoded.
MAX_DECODED_BYTES = 2 << 30

Spacing = tuple[float, float]


@dataclass(frozen=True)
class Image:
    """One frame, ready to look at.

    Attributes:
        values: Fractions in [0, 1], (H, W) or (H, W, 3); white is dense in a radiograph.
        spacing_mm: Distance between rows and between columns, None where the header gives none.
        spacing_origin: Keyword of the element it comes from, or `unknown`.
        decoder: Plugin and version that decoded the pixels.
        window: How values became fractions: `kind` (window, lut, full range or colour) with its figures.
        bits: Bits Stored.
    """

    values: Values
    spacing_mm: Spacing | None
    spacing_origin: str
    decoder: str
    window: dict[str, Any]
    bits: int


@dataclass(frozen=True)
class StoredHeader:
    """What a viewer needs beside stored values.

    Attributes:
        slope: With `offset`, leads back to the values after the modality LUT: value = slope * stored + offset.
        offset: See `slope`.
        windows: The header's windows (center, width), in units after the modality LUT.
        function: VOI LUT Function of the windows.
        inverted: Whether low values are to be shown white (MONOCHROME1).
        spacing_mm: As in `Image`.
        spacing_origin: As in `Image`.
        decoder: As in `Image`.
        bits: As in `Image`.
    """

    slope: float
    offset: float
    windows: tuple[tuple[float, float], ...]
    function: str
    inverted: bool
    spacing_mm: Spacing | None
    spacing_origin: str
    decoder: str
    bits: int


def read_image(path: Path, window: int | None = 0, frame: int = 0) -> Image:
    """Read one frame as fractions of its display range.

    Args:
        path: A DICOM file.
        window: Which of the header's alternatives to apply: its VOI LUTs first, then its windows. None, or a header
            without any, stretches the full range of the values.
        frame: Index of the frame.

    Raises:
        OslerError: A refusal code (`not-dicom`, `truncated`, `no-pixels`, `absurd-size`, `decoder-missing`,
            `pixels-undecodable`, `header-invalid`), or `usage` for a window or frame that the file does not have.
    """
    dataset = _read(path)
    pixels = decode(dataset, frame)
    with refusing(from_header_error):
        if pixels.ndim == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR":
            values, record = _colour(dataset, pixels)
        else:
            values, record = _grey(dataset, pixels, window)
        spacing, origin = spacing_of(dataset)
        syntax = dataset.file_meta.TransferSyntaxUID
        return Image(values, spacing, origin, decoder_label(syntax), record, int(dataset.get("BitsStored") or 0))


def read_stored(path: Path, frame: int = 0) -> tuple[NDArray[np.uint16], StoredHeader]:
    """Read one frame's values after the modality LUT as 16-bit integers, for a viewer that does its own windowing.

    Values that are whole and span less than 65536 are only shifted; others are also scaled, and the header says how.

    Raises:
        OslerError: As `read_image`.
    """
    dataset = _read(path)
    pixels = decode(dataset, frame)
    with refusing(from_header_error):
        values = pixels if pixels.ndim == 3 else apply_modality_lut(pixels, dataset)
        low, high = float(np.min(values)), float(np.max(values))
        whole = bool(np.all(np.mod(values, 1) == 0))
        offset = 0.0 if whole and low >= 0 and high < 65536 else low
        slope = 1.0 if whole and high - offset < 65536 else max(high - low, np.finfo(float).tiny) / 65535
        stored = np.rint((values - offset) / slope).astype(np.uint16)
        spacing, origin = spacing_of(dataset)
        header = StoredHeader(
            slope=slope,
            offset=offset,
            windows=_windows(dataset),
            function=_function(dataset),
            inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
            spacing_mm=spacing,
            spacing_origin=origin,
            decoder=decoder_label(dataset.file_meta.TransferSyntaxUID),
            bits=int(dataset.get("BitsStored") or 0),
        )
        return stored, header


def decode(dataset: Dataset, frame: int | None = 0) -> NDArray[Any]:
    """Decode stored pixels with the pinned decoder; YCbCr becomes RGB.

    Args:
        dataset: A data set with its file meta.
        frame: Index of the frame, None for all of them.

    Returns:
        (H, W) or (H, W, samples) of one frame; all frames add a leading axis where there are several.
    """
    check_size(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    plugin = decoder_plugin(syntax)
    frames = frame_count(dataset)
    if frame is not None and not 0 <= frame < frames:
        raise OslerError(Code.USAGE, f"There is no frame {frame}: the file has {frames}.", "Count frames from 0.")
    with refusing(from_pixel_error):
        pixels = pixel_array(dataset, index=frame, decoding_plugin="" if plugin == NATIVE else plugin)
    return np.asarray(pixels)


def check_decodable(dataset: Dataset) -> None:
    """Decode every frame and drop it; raises as `decode`."""
    check_size(dataset)
    plugin = decoder_plugin(dataset.file_meta.TransferSyntaxUID)
    with refusing(from_pixel_error):
        for _frame in iter_pixels(dataset, raw=True, decoding_plugin="" if plugin == NATIVE else plugin):
            pass


def check_size(dataset: Dataset) -> None:
    """Refuse a data set without pixels (`no-pixels`), or with more than memory should be risked for (`absurd-size`)."""
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise refusal(Code.NO_PIXELS)
    length = decoded_length(dataset)
    if length is None or length <= 0:
        raise refusal(Code.HEADER_INVALID, "The header does not say how large the image is.")
    if length > MAX_DECODED_BYTES:
        raise refusal(Code.ABSURD_SIZE)


def decoded_length(dataset: Dataset) -> int | None:
    """Return the bytes of all frames once decoded, None where the header does not say."""
    try:
        samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)
        return math.ceil(samples * frame_count(dataset) * int(dataset.BitsAllocated) / 8)
    except (AttributeError, TypeError, ValueError):
        return None


def frame_count(dataset: Dataset) -> int:
    """Return Number of Frames (0028,0008); 1 where it is absent or not valid."""
    try:
        return max(int(dataset.get("NumberOfFrames") or 1), 1)
    except (TypeError, ValueError):
        return 1


def spacing_of(dataset: Dataset) -> tuple[Spacing | None, str]:
    """Return (row, column) spacing in mm and the keyword it comes from.

    Pixel Spacing (0028,0030) is calibrated or in the patient; Imager Pixel Spacing (0018,1164) is at the detector, so
    that lengths come out magnified (PS3.3 10.7). Nothing is invented where both are missing.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(keyword)
        if (
            value is not None
            and hasattr(value, "append")
            and len(value) == 2
            and all(float(item) > 0 for item in value)
        ):
            return (float(value[0]), float(value[1])), keyword
    return None, "unknown"


def _read(path: Path) -> Dataset:
    with refusing(from_header_error):
        return dcmread(path)


def _colour(dataset: Dataset, pixels: NDArray[Any]) -> tuple[Values, dict[str, Any]]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        pixels = apply_color_lut(pixels, dataset)[..., :3]
    else:
        bits = int(dataset.BitsStored)
    top = float(2**bits - 1)
    return apply_range(pixels, 0.0, top), {"kind": "colour", "low": 0.0, "high": top}


def _grey(dataset: Dataset, pixels: NDArray[Any], window: int | None) -> tuple[Values, dict[str, Any]]:
    padding = _padding(dataset, pixels)
    values = apply_modality_lut(pixels, dataset)
    fractions, record = _voi(dataset, values, padding, window)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        fractions = 1.0 - fractions
        record["inverted"] = True
    if padding is not None:
        fractions[padding] = 0.0  # what was never exposed is shown as air
    return fractions, record


def _voi(
    dataset: Dataset, values: NDArray[Any], padding: NDArray[np.bool_] | None, choice: int | None
) -> tuple[Values, dict[str, Any]]:
    """Apply the chosen alternative of the VOI LUT module and record it."""
    tables, windows = _tables(dataset), _windows(dataset)
    if choice is None or not (tables or windows):
        shown = values if padding is None or padding.all() else values[~padding]
        low, high = float(np.min(shown)), float(np.max(shown))
        return apply_range(values, low, high), {"kind": "full range", "low": low, "high": high}
    if not 0 <= choice < len(tables) + len(windows):
        raise OslerError(
            Code.USAGE,
            f"There is no window {choice}: the file has {len(tables)} lookup tables and {len(windows)} windows.",
            "Count them from 0, tables first.",
        )
    if choice < len(tables):
        return _apply_table(dataset, values, choice), {"kind": "lut", "index": choice}
    center, width = windows[choice - len(tables)]
    function = _function(dataset)
    record = {"kind": "window", "index": choice, "center": center, "width": width, "function": function}
    return apply_window(values, center, width, function), record


def _apply_table(dataset: Dataset, values: NDArray[Any], index: int) -> Values:
    entries, first, bits = (int(item) for item in dataset.VOILUTSequence[index].LUTDescriptor)
    # Bounded first: pydicom subtracts in the table's own type, where an 8-bit table would wrap around.
    bounded = np.clip(np.rint(values).astype(np.int64), first, first + (entries or 1 << 16) - 1)
    return apply_range(apply_voi(bounded, dataset, index), 0.0, float(2**bits - 1))


def _tables(dataset: Dataset) -> list[Dataset]:
    items = dataset.get("VOILUTSequence") or ()
    return [item for item in items if item.get("LUTDescriptor") is not None and item.get("LUTData") is not None]


def _windows(dataset: Dataset) -> tuple[tuple[float, float], ...]:
    centers, widths = (_numbers(dataset, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    return tuple(zip(centers, widths, strict=False))


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    value = dataset.get(keyword)
    if value is None:
        return []
    items = value if hasattr(value, "append") else [value]
    return [float(item) for item in items if item not in (None, "")]


def _function(dataset: Dataset) -> str:
    return str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()


def _padding(dataset: Dataset, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Find padding pixels: Pixel Padding Value (0028,0120), up to its Range Limit (PS3.3 C.7.5.1.1.2)."""
    if "PixelPaddingValue" not in dataset:
        return None
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit", first))
    padding = (pixels >= min(first, last)) & (pixels <= max(first, last))
    return padding if padding.any() else None
