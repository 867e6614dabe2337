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
