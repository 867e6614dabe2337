"""Figures of an image that say how it was taken and processed, not what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

# Longest side on which edges, fine detail and border are measured, so that they compare between detectors.
SIDE = 256
# Outer share of each side that counts as border.
BORDER = 0.06
DARK = 0.05
# Spatial frequencies above this share of the finest that the small image holds are fine detail.
FINE = 0.5


def displayed_statistics(values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Describe an image as it is displayed.

    Args:
        values: Fractions of the display range in [0, 1], (H, W) or (H, W, 3); colours count by their mean.

    Returns:
        By name of `osler_contracts.drift.fields`: mean, standard deviation and percentiles of the fractions; entropy of
        256 grey levels in bits; shares of black and white pixels; mean gradient and share of the spectrum above half
        the finest frequency, both at 256 pixels a side; share of dark pixels in the border; width over height.
    """
    grey = np.asarray(values, dtype=np.float32)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    low, middle, high = np.percentile(grey, [5, 50, 95])
    levels = np.bincount(np.clip(grey * 256, 0, 255).astype(np.uint8).ravel(), minlength=256) / grey.size
    used = levels[levels > 0]
    small = _small(grey)
    return {
        "image_mean": float(grey.mean()),
        "image_sd": float(grey.std()),
        "image_p05": float(low),
        "image_p50": float(middle),
        "image_p95": float(high),
        "image_entropy": float(-(used * np.log2(used)).sum()) + 0.0,
        "image_black": float(np.mean(grey <= 0.0)),
        "image_white": float(np.mean(grey >= 1.0)),
        "image_edges": _edges(small),
        "image_fine": _fine(small),
        "image_border": _border(small),
        "image_aspect": grey.shape[1] / grey.shape[0],
    }


def stored_statistics(stored: NDArray[np.integer[Any]], bits: int, signed: bool) -> dict[str, float]:
    """Describe which part of a detector's range an image uses: 1st, 50th and 99th percentile as fractions of it.

    Windows undo much of what a new detector curve does; stored values show it.

    Args:
        stored: Stored values as decoded, any shape.
        bits: Bits Stored (0028,0101), at least 1.
        signed: Whether they are two's complement (Pixel Representation 1), so that the range starts at -2^(bits - 1).
    """
    shares = (np.percentile(stored, [1, 50, 99]) + (2 ** (bits - 1) if signed else 0)) / (2**bits - 1)
    return {name: float(x) for name, x in zip(("stored_low", "stored_middle", "stored_high"), shares, strict=True)}


def _small(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink an image to `SIDE` pixels on its longest side by area means; a smaller one stays as it is."""
    height, width = grey.shape
    shrink = max(height, width) / SIDE
    if shrink <= 1:
        return grey
    size = (max(round(width / shrink), 1), max(round(height / shrink), 1))
    return np.asarray(PillowImage.fromarray(grey).resize(size, PillowImage.Resampling.BOX), dtype=np.float32)


def _edges(small: NDArray[np.float32]) -> float:
    across, down = np.diff(small, axis=1)[:-1], np.diff(small, axis=0)[:, :-1]
    return float(np.hypot(across, down).mean()) if across.size else 0.0


def _fine(small: NDArray[np.float32]) -> float:
    """Return the share of the power spectrum above `FINE`, the mean taken off and the edges of the frame tapered."""
    taper = np.hanning(small.shape[0])[:, None] * np.hanning(small.shape[1])[None, :]
    power = np.abs(np.fft.rfft2((small - small.mean()) * taper)) ** 2
    rows, columns = np.fft.fftfreq(small.shape[0])[:, None], np.fft.rfftfreq(small.shape[1])[None, :]
    total = float(power.sum())
    return float(power[np.hypot(rows, columns) > FINE / 2].sum() / total) if total > 0 else 0.0


def _border(small: NDArray[np.float32]) -> float:
    rows, columns = (max(round(BORDER * side), 1) for side in small.shape)
    frame = np.ones(small.shape, dtype=bool)
    frame[rows:-rows, columns:-columns] = False
    return float(np.mean(small[frame] < DARK))
