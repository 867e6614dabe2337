"""What a radiographer leaves on every film: a lead side marker and a collimated margin."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from osler_training.phantom.anatomy import FIELD_MM, Map, inside
from osler_training.phantom.glyphs import Mask, place, text_mask
from osler_training.phantom.sites import SiteProfile

LEAD, SHUTTER = 5.6, 5.0  # log attenuation behind a marker on the detector, and outside the collimated field
MARKER_MM = 13.0


def film_marks(site: SiteProfile, attenuation: Map, x_mm: Map, y_mm: Map, rng: np.random.Generator) -> Map:
    """Put a site's marker on the patient's left, and its margin, where they happen to lie this time.

    Args:
        site: The hospital.
        attenuation: Recorded log attenuation (S, S): lead on the detector stops scatter too.
        x_mm: Horizontal position (S, S), from -200 to 200.
        y_mm: Vertical position (S, S), from 0 to 400.
        rng: Source of the small differences from film to film.
    """
    scale = len(attenuation) / FIELD_MM
    x, y = np.asarray(site.marker_at) + rng.normal(0, 5, 2)
    mark = place(_marker(site.marker, scale, rng), attenuation.shape, int(y * scale), int((x + FIELD_MM / 2) * scale))
    left, right, top, bottom = np.clip(rng.normal(site.collimation_mm, 2.5, 4), 0, 25)
    reach = np.minimum.reduce([x_mm + 200 - left, 200 - right - x_mm, y_mm - top, 400 - bottom - y_mm])
    return covered(covered(attenuation, mark, LEAD), inside(-reach, 1.5), SHUTTER)


def covered(values: Map, mask: Map, level: float) -> Map:
    """Raise values (S, S) to a level where a mask is 1, in part where it is less."""
    return np.asarray(values + mask * np.maximum(level - values, 0), np.float32)


def _marker(style: str, scale: float, rng: np.random.Generator) -> Mask:
    height = max(int(MARKER_MM * scale), 5)
    text = {"word": "LEFT", "initials": f"L\n{''.join(rng.choice(list('ABCDEHJKMNPRST'), 2))}"}.get(style, "L")
    mask = text_mask(text, height if style != "initials" else int(0.8 * height))
    if style != "ringed":
        return mask
    side = int(1.9 * max(mask.shape))
    ring = Image.new("L", (side, side))
    ImageDraw.Draw(ring).ellipse((0, 0, side - 1, side - 1), outline=255, width=max(round(1.2 * scale), 1))
    return np.maximum(np.asarray(ring, np.float32) / 255, place(mask, (side, side), side // 2, side // 2))
