"""Pixels as a model or a viewer wants them, with the record of how they came about.

Order of the standard's pipeline (PS3.3 C.11, PS3.4 N.2): stored values, modality LUT, VOI LUT or window, and last the
inversion of MONOCHROME1, so that white is always dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from osler.dicom.decoding import decode, decoder_for
from osler.dicom.display import Display, Spacing, display_of, is_big_endian
from osler.dicom.refusals import from_header_error, refusing
from osler.dicom.tables import read_table
from osler.dicom.windowing import Values, apply_range, apply_window
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

__all__ = ["Image", "Spacing", "StoredHeader", "read_image", "read_stored"]


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
        OslerError: A refusal code (`not-dicom`, `truncated`, `no-pixels`, `absurd-size`, `pixel-format-invalid`,
            `decoder-missing`, `pixels-undecodable`, `header-invalid`), or `usage` for a window or frame that the file
            does not have.
    """
    dataset = _read(path)
    pixels = decode(dataset, frame)
    with refusing(from_header_error):
        display = display_of(dataset, frame)
        if pixels.ndim == 3 or display.photometric == "PALETTE COLOR":
            values, record = _colour(dataset, pixels)
        else:
            values, record = _grey(display, pixels, window)
        return Image(
            values, display.spacing_mm, display.spacing_origin, decoder_for(dataset).label, record, _bits(dataset)
        )


def read_stored(path: Path, frame: int = 0) -> tuple[NDArray[np.uint16], StoredHeader]:
    """Read one frame's values after the modality LUT as 16-bit integers, for a viewer that does its own windowing.

    Values that are whole and span less than 65536 are only shifted; others are also scaled, and the header says how.

    Raises:
        OslerError: As `read_image`.
    """
    dataset = _read(path)
    pixels = decode(dataset, frame)
    with refusing(from_header_error):
        display = display_of(dataset, frame)
        values = _finite(pixels if pixels.ndim == 3 else apply_modality(display, pixels))
        low, high = float(np.min(values)), float(np.max(values))
        whole = values.dtype.kind in "ui" or bool(np.all(np.mod(values, 1) == 0))
        offset = 0.0 if whole and low >= 0 and high < 65536 else low
        slope = 1.0 if whole and high - offset < 65536 else max(high - low, np.finfo(float).tiny) / 65535
        kept = slope == 1.0 and offset == 0.0  # as they are: 12,000 x 12,000 values as floats would take a gigabyte
        stored = values.astype(np.uint16) if kept else np.rint((values - offset) / slope).astype(np.uint16)
        header = StoredHeader(
            slope=slope,
            offset=offset,
            windows=tuple((window.center, window.width) for window in display.windows),
            function=display.windows[0].function if display.windows else "LINEAR",
            inverted=display.inverted,
            spacing_mm=display.spacing_mm,
            spacing_origin=display.spacing_origin,
            decoder=decoder_for(dataset).label,
            bits=_bits(dataset),
        )
        return stored, header


def apply_modality(display: Display, pixels: NDArray[Any]) -> NDArray[Any]:
    """Apply the modality LUT or the rescaling (PS3.3 C.11.1); without either the stored values are returned."""
    if display.modality_table is not None:
        return display.modality_table.apply(pixels)
    if (display.slope, display.intercept) == (1.0, 0.0):
        return pixels
    return pixels.astype(np.float64) * display.slope + display.intercept


def _read(path: Path) -> Dataset:
    with refusing(from_header_error):
        return dcmread(path)


def _bits(dataset: Dataset) -> int:
    return int(dataset.get("BitsStored") or dataset.BitsAllocated)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Replace what is not a number, or infinite, by the least number there is."""
    if values.dtype.kind in "ui":
        return values
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.min(values[finite], initial=0.0))


def _colour(dataset: Dataset, pixels: NDArray[Any]) -> tuple[Values, dict[str, Any]]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels, bits = _through_palette(dataset, pixels)
    else:
        bits = int(dataset.BitsStored)
    top = float(2**bits - 1)
    return apply_range(pixels, 0.0, top), {"kind": "colour", "low": 0.0, "high": top}


def _through_palette(dataset: Dataset, pixels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the colours (H, W, 3) of a palette (PS3.3 C.7.6.3.1.5, C.7.9) and their bits."""
    if "RedPaletteColorLookupTableData" not in dataset:
        return apply_color_lut(pixels, dataset)[..., :3], int(dataset.RedPaletteColorLookupTableDescriptor[2])
    tables = [
        read_table(
            dataset,
            f"{colour}PaletteColorLookupTableDescriptor",
            f"{colour}PaletteColorLookupTableData",
            big_endian=is_big_endian(dataset),
        )
        for colour in ("Red", "Green", "Blue")
    ]
    return np.stack([table.apply(pixels) for table in tables], axis=-1), max(table.bits for table in tables)


def _grey(display: Display, pixels: NDArray[Any], window: int | None) -> tuple[Values, dict[str, Any]]:
    padding = _padding(display, pixels)
    values = _finite(apply_modality(display, pixels))
    fractions, record = _voi(display, values, padding, window)
    if display.inverted:
        fractions = 1.0 - fractions
        record["inverted"] = True
    if padding is not None:
        fractions[padding] = 0.0  # what was never exposed is shown as air
    return fractions, record


def _voi(
    display: Display, values: NDArray[Any], padding: NDArray[np.bool_] | None, choice: int | None
) -> tuple[Values, dict[str, Any]]:
    """Apply the chosen alternative of the VOI LUT module and record it."""
    tables, windows = display.tables, display.windows
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
        table = tables[choice]
        return apply_range(table.apply(values), 0.0, table.top), {"kind": "lut", "index": choice}
    window = windows[choice - len(tables)]
    record = {"kind": "window", "index": choice, "center": window.center, "width": window.width}
    return apply_window(values, window.center, window.width, window.function), record | {"function": window.function}


def _padding(display: Display, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Find padding pixels, and fractions that are no numbers."""
    if display.padding is None and pixels.dtype.kind in "ui":
        return None
    padding = ~np.isfinite(pixels)
    if display.padding is not None:
        low, high = display.padding
        padding |= (pixels >= low) & (pixels <= high)
    return padding if padding.any() else None
