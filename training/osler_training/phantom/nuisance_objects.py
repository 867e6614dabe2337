"""Things in the beam or in the machine that have nothing to do with disease; each adds log attenuation or changes fractions.

In the beam: `(attenuation, x_mm, y_mm, rng) -> attenuation`, before scatter and noise. Afterwards: `(fraction, x_mm, y_mm, rng)
-> fraction`, on the stored range's scale from 0 to 1 with dense at 1. All arrays are (S, S) float32; lengths are in mm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from osler_training.phantom.anatomy import FIELD_MM, Map, inside
from osler_training.phantom.glyphs import place, text_mask
from osler_training.phantom.marks import covered

Rng = np.random.Generator
SOFT_MM = 1.5
WHITE = 0.85  # what lead leaves of the stored range


def necklace(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Hang a chain of small beads round the neck."""
    depth, half = rng.uniform(48, 78), rng.uniform(40, 54)
    along = x / half
    centre = 28 + depth * np.sqrt(np.clip(1 - along**2, 0, 1))
    bead = 0.6 + 0.4 * np.cos(2 * np.pi * x / 4.5)
    return _map(attenuation + 0.8 * bead * np.exp(-(((y - centre) / 1.6) ** 2)) * (np.abs(along) < 0.98))


def zipper(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Lay the zip of a jacket down the front."""
    middle = rng.uniform(-10, 10) + rng.uniform(-0.05, 0.05) * (y - 200)
    teeth = 0.6 + 0.4 * np.sign(np.cos(2 * np.pi * y / 5))
    return _map(attenuation + 0.5 * teeth * inside(2.6 - np.abs(x - middle), SOFT_MM))


def lead_plate(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Put a plate with lead numerals beside the patient's right shoulder."""
    scale = len(fraction) / FIELD_MM
    digits = text_mask(str(rng.integers(10, 1000)), max(int(10 * scale), 4))
    row, column = int(rng.uniform(16, 34) * scale), int(rng.uniform(24, 60) * scale)
    return covered(fraction, place(digits, fraction.shape, row, column), WHITE)


def tight_collimation(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Cut the field to a narrow rectangle."""
    left, right = rng.uniform(14, 30, 2)
    top, bottom = rng.uniform(8, 20, 2)
    reach = np.minimum.reduce([x + 200 - left, 200 - right - x, y - top, 400 - bottom - y])
    return covered(fraction, inside(-reach, SOFT_MM), WHITE)


def gown_snaps(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Scatter the metal snaps of a gown over shoulders and sleeves."""
    snaps = np.zeros_like(x)
    for side in (-1, 1):
        for number in range(3):
            across = side * (70 + 27 * number) + rng.normal(0, 4)
            distance = np.hypot(x - across, y - (66 + 9 * number + rng.normal(0, 4)))
            snaps += inside(4.4 - distance, SOFT_MM) * (1 - 0.6 * inside(1.7 - distance, SOFT_MM))
    return _map(attenuation + snaps)


def blanket_folds(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Lay the folds of a blanket across the chest."""
    folds = np.zeros_like(x)
    for _ in range(5):
        angle = rng.uniform(-0.35, 0.35)
        across = (y - rng.uniform(150, 340)) * np.cos(angle) + x * np.sin(angle) + 6 * np.sin(x / rng.uniform(25, 45))
        width = rng.uniform(5, 10)
        ramp = np.clip(1 - across / width, 0, 1) * inside(across, SOFT_MM)
        folds = folds + rng.uniform(0.2, 0.3) * ramp
    return _map(attenuation + folds)


def table_edge(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Let the rail of the table cross one side of the field."""
    side = rng.choice([-1, 1])
    distance = side * x - rng.uniform(168, 182) - 0.03 * (y - 200)
    rail = 0.7 * inside(distance, SOFT_MM) * inside(9 - distance, SOFT_MM)
    return _map(attenuation + rail + 0.2 * inside(distance - 9, 2.0))


def octagonal_collimation(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Cut the corners of the field, as a round multileaf collimator does."""
    corner = rng.uniform(318, 338)
    return covered(fraction, inside(np.abs(x) + np.abs(y - 200) - corner, SOFT_MM), WHITE)


def heel_effect(attenuation: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Let the beam weaken from the upper to the lower edge, as towards the anode."""
    return _map(attenuation + rng.uniform(0.35, 0.5) * (y / FIELD_MM - 0.5))


def vignette(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Darken the corners."""
    return _map(fraction * (1 - rng.uniform(0.2, 0.3) * ((x / 200) ** 2 + ((y - 200) / 200) ** 2) / 2))


def soft_processing(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Smooth the picture, as an old phosphor plate does."""
    return _map(gaussian_filter(fraction, rng.uniform(1.2, 1.6) * len(fraction) / FIELD_MM))


def grid_lines(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Leave the moiré of a stationary grid and the pixels in the picture."""
    return _map(fraction + 0.009 * np.sin(2 * np.pi * (x + rng.uniform(0, 9)) / rng.uniform(9, 13)))


def tile_seam(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Let two halves of the detector differ a little, with a seam between them."""
    middle = rng.uniform(-25, 25)
    seam = np.exp(-(((x - middle) / 0.8) ** 2))
    return _map(fraction * (1 + rng.uniform(0.03, 0.05) * inside(x - middle, 0.8)) + 0.06 * seam)


def edge_enhancement(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Sharpen by unsharp masking."""
    return _map(
        fraction + rng.uniform(0.6, 0.9) * (fraction - gaussian_filter(fraction, 3.0 * len(fraction) / FIELD_MM))
    )


def corner_annotation(fraction: Map, x: Map, y: Map, rng: Rng) -> Map:
    """Burn the exposure's figures, none of the patient's, into the lower right corner of the patient."""
    scale = len(fraction) / FIELD_MM
    text = f"{rng.integers(85, 126)} kV\n{rng.uniform(1, 4):.1f} mAs\nEI {rng.integers(180, 420)}"
    block = text_mask(text, max(int(8 * scale), 4))
    at = int(372 * scale), int(28 * scale)
    return covered(fraction, place(block, fraction.shape, *at), WHITE)


def _map(values: NDArray[np.floating]) -> Map:
    return np.asarray(values, np.float32)
