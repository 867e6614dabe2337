"""The bronchovascular tree: branches that taper from the hila to the periphery."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from osler_training.phantom.anatomy import FIELD_MM, LEFT, RIGHT, Map, Reals

# Vessels are drawn as lines in classes of calibre (mm), each blurred to its own width.
CALIBRES = np.array((4.0, 2.6, 1.7, 1.0))
LEAST_CALIBRE = 0.75
GENERATIONS, STEPS = 5, 4
# Flow to the lungs as (lowest angle, highest angle, branches, calibre); angles grow downward from the horizontal.
UPPER, MIDDLE, LOWER = (-1.35, -0.5, 3, 0.8), (-0.4, 0.3, 3, 0.95), (0.4, 1.35, 4, 1.05)

Points = NDArray[np.complex128]


def strokes_to_map(size: int, start: Points, end: Points, thickness: Reals, width_mm: float) -> Map:
    """Return straight strokes as a map in cm: drawn one pixel wide, then blurred to their width with their crest kept.

    Args:
        size: Pixels along a side.
        start: Starting points (n,), x + iy in mm.
        end: End points (n,).
        thickness: Thickness of each at its crest, in cm (n,).
        width_mm: Full width of the strokes.
    """
    scale = size / FIELD_MM
    out = np.zeros((size, size), np.float32)
    counts = np.ceil(np.abs(end - start) * scale).astype(int) + 1
    which = np.repeat(np.arange(len(start)), counts)
    at = (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)) / np.maximum(counts[which] - 1, 1)
    points = start[which] + at * (end - start)[which]
    rows, columns = (points.imag * scale).astype(int), ((points.real + FIELD_MM / 2) * scale).astype(int)
    seen = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    out[rows[seen], columns[seen]] = thickness[which][seen]
    sigma = 0.42 * width_mm * scale
    return np.asarray(gaussian_filter(out, sigma, truncate=3) * max(1.0, sigma * np.sqrt(2 * np.pi)), np.float32)


def _grow(
    points: Points, angles: Reals, calibres: Reals, rng: np.random.Generator
) -> list[tuple[Points, Points, Reals]]:
    """Grow all branches generation by generation and return their segments: start, end, calibre."""
    segments = []
    for _ in range(GENERATIONS):
        for _ in range(STEPS):
            angles = angles + rng.normal(0, 0.13, len(angles))
            ends = points + rng.uniform(6, 10, len(points)) * np.exp(1j * angles)
            segments.append((points, ends, calibres))
            points, calibres = ends, calibres * 0.96
        spread = rng.uniform(0.25, 0.6, len(points))
        angles = np.concatenate([angles + spread, angles - spread])
        points = np.tile(points, 2)
        calibres = np.tile(calibres, 2) * rng.uniform(0.68, 0.85, len(points))
        alive = calibres > LEAST_CALIBRE
        points, angles, calibres = points[alive], angles[alive], calibres[alive]
    return segments


def bronchovascular_tree(size: int, middle: float, rng: np.random.Generator, cephalised: float = 0.0) -> Map:
    """Return the thickness of vessels in cm.

    Args:
        size: Pixels along a side.
        middle: Position of the mediastinum in mm.
        rng: Source of randomness.
        cephalised: In [0, 1], how far flow is redistributed to the upper zones: upper vessels widen, lower ones narrow.
    """
    flow = {UPPER: 1 + 0.7 * cephalised, MIDDLE: 1.0, LOWER: 1 - 0.28 * cephalised}
    roots, angles, calibres = [], [], []
    for side in (RIGHT, LEFT):
        for (low, high, count, calibre), share in flow.items():
            angle = rng.uniform(low, high, count)
            roots.append(np.full(count, complex(middle + side * 30, 156 - 8 * (side == LEFT))))
            angles.append(angle if side == LEFT else np.pi - angle)
            calibres.append(4.4 * calibre * share * rng.uniform(0.85, 1.1, count))
    segments = _grow(np.concatenate(roots), np.concatenate(angles), np.concatenate(calibres), rng)
    start, end, widths = (np.concatenate(part) for part in zip(*segments, strict=True))
    layer = np.abs(widths[:, None] - CALIBRES).argmin(axis=1)
    out = np.zeros((size, size), np.float32)
    for number, width in enumerate(CALIBRES):
        mine = layer == number
        out += strokes_to_map(size, start[mine], end[mine], 0.17 * widths[mine], float(width))
    return out
