"""One frame's stored values as greys in which text stands out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from osler.deid.text_screen import Grey
from osler.dicom.refusals import attempt, from_pixel_error, refusing

AT_END, NEAR_END = 0.003, 0.015  # of the range: greys no farther from an end are at it; greys between are neither
TOGETHER, BETWEEN = 3, 12  # of 9 pixels around, at least so many at the end; of 81 around, at most so many between


def views(dataset: Dataset, pixels: NDArray[Any]) -> Iterator[Grey]:
    """Yield one frame's stored values as greys (H, W): by their full range, and by what the header's first window shows.

    Text at the end of the range is plain in the first; text just above its surroundings may be so in the second only.
    In colour, brightest and darkest samples are looked at, so that text of any colour stands out in one.
    """
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        with refusing(from_pixel_error):
            pixels = apply_color_lut(pixels, dataset)[..., :3]
    if pixels.ndim == 3:
        yield _stretched(pixels.max(axis=2), None)
        yield _stretched(pixels.min(axis=2), None)
        return
    yield _stretched(pixels, None)
    if (window := attempt(lambda: _stored_window(dataset), None)) is not None:
        low, high = float(pixels.min()), float(pixels.max())
        if window[1] - window[0] < 0.9 * (high - low):
            yield _stretched(pixels, window)


def ends(values: NDArray[Any]) -> Grey:
    """Return where stored values (H, W) are clearly at the upper end of their range, as 255, and at the lower, as 0.

    Everything else is 128. Machines write at full white or black. Where film is nearly so, no other view shows it, but
    anybody finds it by narrowing the window. Noise about an end is left out: strokes hang together, and few greys lie
    between theirs and the film's.
    """
    low, high = float(values.min()), float(values.max())
    shown = np.full(values.shape, 128, np.uint8)
    for there, near, grey in (
        (values <= low + AT_END * (high - low), values <= low + NEAR_END * (high - low), 0),
        (values >= high - AT_END * (high - low), values >= high - NEAR_END * (high - low), 255),
    ):
        shown[there & (_around(there, 3) >= TOGETHER) & (_around(near & ~there, 9) <= BETWEEN)] = grey
    return shown


def _around(there: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    """Count what is there in the square around each pixel."""
    import cv2

    counts = cv2.boxFilter(
        there.view(np.uint8), cv2.CV_8U, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(counts, np.uint8)


def _stretched(values: NDArray[Any], between: tuple[float, float] | None) -> Grey:
    """Return values as 0 to 255 between two of them, by default the least and the greatest."""
    low, high = between or (float(values.min()), float(values.max()))
    span = high - low if high > low else 1.0
    return np.asarray(np.clip((values.astype(np.float32) - low) * (255 / span), 0, 255), np.uint8)


def _stored_window(dataset: Dataset) -> tuple[float, float] | None:
    """Return the stored values between which the first window lies (PS3.3 C.11.2.1.2)."""
    centers, widths = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centers is None or widths is None:
        return None
    center, width = (float(value[0] if hasattr(value, "append") else value) for value in (centers, widths))
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    ends = sorted((center + side * width / 2 - intercept) / slope for side in (-1, 1))
    return ends[0], ends[1]
