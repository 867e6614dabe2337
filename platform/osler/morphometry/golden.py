"""Drawn images whose measurements loading an encoder checks: nobody's cell, skin or chest."""

from __future__ import annotations

import numpy as np

from osler.bottleneck.records import Array


def golden_cell() -> Array:
    """Return a fixed test image (120, 130, 3): glass, a red cell, and a white cell with a nucleus of two lobes."""
    y, x = np.mgrid[0:120, 0:130].astype(float)
    image = np.broadcast_to([0.99, 0.90, 0.79], (120, 130, 3)).copy()
    grain = 0.03 * (((x * 7919 + y * 104729) % 101) / 100 - 0.5)
    for row, column, radius, colour in (
        (20, 108, 15, (0.75, 0.62, 0.60)),
        (60, 60, 34, (0.80, 0.62, 0.66)),
        (52, 50, 13, (0.32, 0.18, 0.50)),
        (68, 70, 14, (0.32, 0.18, 0.50)),
    ):
        image[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = colour
    return np.asarray(np.clip(image + grain[..., None], 0, 1), np.float32)


def golden_lesion() -> Array:
    """Return a fixed test image (150, 190, 3): skin with a brown patch, a dark part, a bluish part, dots and a hair."""
    y, x = np.mgrid[0:150, 0:190].astype(float)
    image = np.broadcast_to([0.86, 0.68, 0.60], (150, 190, 3)).copy() * (1 - 0.0006 * x)[..., None]
    grain = 0.02 * (((x * 7919 + y * 104729) % 101) / 100 - 0.5)
    for row, column, tall, wide, colour in (
        (75, 92, 42, 55, (0.58, 0.38, 0.24)),
        (66, 78, 18, 22, (0.22, 0.10, 0.08)),
        (88, 116, 12, 14, (0.42, 0.50, 0.58)),
    ):
        image[((y - row) / tall) ** 2 + ((x - column) / wide) ** 2 <= 1] = colour
    for row, column in ((95, 70), (104, 88), (60, 112), (52, 98)):
        image[(y - row) ** 2 + (x - column) ** 2 <= 5] = (0.25, 0.14, 0.10)
    image[np.abs(y - 30 - 0.3 * x) < 1.2] = (0.12, 0.10, 0.09)
    return np.asarray(np.clip(image + grain[..., None], 0, 1), np.float32)


def golden_chest() -> Array:
    """Return a fixed test image (200, 190): a bright body with two dark lungs, a heart, ribs, and one opaque zone."""
    y, x = np.mgrid[0:200, 0:190].astype(float)
    image = np.where(np.abs(x - 95) < 88, 0.62, 0.02) * (0.85 + 0.15 * np.sqrt(np.clip(1 - ((x - 95) / 90) ** 2, 0, 1)))
    for middle, base in ((56, 150), (134, 156)):
        lung = ((x - middle) / 33) ** 2 + ((y - 100) / 68) ** 2 <= 1
        image[lung & (y < base - 12 + ((x - middle) / 10) ** 2)] = 0.22
    image[((x - 104) / 34) ** 2 + ((y - 128) / 30) ** 2 <= 1] = 0.72
    image[np.abs(x - 95) < 10] = 0.74
    image[((x - 52) / 15) ** 2 + ((y - 118) / 14) ** 2 <= 1] += 0.25
    image += 0.03 * (np.sin(y / 5 + np.abs(x - 95) / 30) > 0.6)
    grain = 0.02 * (((x * 7919 + y * 104729) % 101) / 100 - 0.5)
    return np.asarray(np.clip(image + grain, 0, 1), np.float32)
