"""Windows and lookup tables of the VOI LUT module (PS3.3 C.11.2), as fractions of the display range.

Plain arrays in and out: who shows an image needs no DICOM file for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Values = NDArray[np.float32]

_SOME = 1 << 15  # as many as the processor's cache holds
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def apply_window(values: NDArray[Any], center: float, width: float, function: str = "LINEAR") -> Values:
    """Map values through a window.

    Args:
        values: Values after the modality LUT, any shape.
        center: Window Center (0028,1050).
        width: Window Width (0028,1051).
        function: VOI LUT Function (0028,1056): LINEAR (C.11.2.1.2.1), LINEAR_EXACT (C.11.2.1.3.2) or SIGMOID
            (C.11.2.1.3.1).

    Returns:
        Fractions in [0, 1] of the same shape.

    Raises:
        OslerError: `header-invalid` for an unknown function, or a width that the function does not take.
    """
    least = 1.0 if function == "LINEAR" else np.nextafter(0.0, 1.0)
    if function not in FUNCTIONS or not width >= least or not np.isfinite([center, width]).all():
        raise OslerError(
            Code.HEADER_INVALID,
            f"A window of width {width:g} with the function {function[:16]} is not valid.",
            f"The functions are {', '.join(FUNCTIONS)}; a LINEAR width is at least 1, any other above 0.",
        )
    return _each(values, lambda x: _windowed(x, center, width, function))


def apply_range(values: NDArray[Any], low: float, high: float) -> Values:
    """Stretch [low, high] over [0, 1]; a range without extent gives zeros."""
    if not high > low:
        return np.zeros(np.shape(values), dtype=np.float32)
    return _each(values, lambda x: np.clip((x - low) / (high - low), 0.0, 1.0).astype(np.float32))


def _windowed(x: NDArray[np.float64], center: float, width: float, function: str) -> Values:
    if function == "SIGMOID":
        # Beyond 60 the fraction is 0 or 1 in any precision; the bound keeps exp from overflowing.
        return (1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - center) / width, -60.0, 60.0)))).astype(np.float32)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0.0:
        return (x > center).astype(np.float32)
    return np.clip((x - center) / width + 0.5, 0.0, 1.0).astype(np.float32)


def _each(values: NDArray[Any], mapped: Callable[[NDArray[np.float64]], Values]) -> Values:
    """Map values one by one; of whole numbers only those that can occur, which are far fewer than the pixels of an image."""
    values = np.asarray(values)
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2 and values.size:
        low, high = int(values.min()), int(values.max())
        if high - low < values.size:
            table = mapped(np.arange(low, high + 1, dtype=np.float64))
            return _looked_up(table, values, low)
    return mapped(values.astype(np.float64))


def _looked_up(table: Values, values: NDArray[Any], low: int) -> Values:
    """Return the entries of values that start at `low`, some at a time: indices take four times the memory of pixels."""
    flat, found = values.reshape(-1), np.empty(values.size, np.float32)
    index = np.empty(min(values.size, _SOME), np.intp)
    for start in range(0, values.size, _SOME):
        part = flat[start : start + _SOME]
        here = np.subtract(part, low, out=index[: len(part)], dtype=np.intp)
        # What is looked up is in the table; `clip` only spares numpy a check.
        table.take(here, out=found[start : start + _SOME], mode="clip")
    return found.reshape(values.shape)
