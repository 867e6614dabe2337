"""Bones of the chest: thickness along the beam, in cm of compact bone."""

from __future__ import annotations

import numpy as np

from osler_training.phantom.anatomy import LEFT, RIGHT, Anatomy, Map, Reals, inside

RIBS = 10
SPACING = 24.0


def _band(distance: Reals, half_width: float | Reals) -> Map:
    """Return the profile of a flat bone across its width: cortex bright, marrow less."""
    d = distance / half_width
    return np.asarray(0.5 * np.exp(-(np.abs(d) ** 6)) + 0.4 * np.exp(-(((np.abs(d) - 0.82) / 0.24) ** 2)), np.float32)


def ribs(anatomy: Anatomy) -> Map:
    """Return posterior ribs, falling to the side, and the anterior ends of the upper ones, falling to the middle."""
    out = np.zeros_like(anatomy.x)
    half = anatomy.size // 2
    for side, columns in ((RIGHT, slice(0, half + half // 8)), (LEFT, slice(half - half // 8, None))):
        out[:, columns] += _ribs_of(anatomy, side, columns)
    return out


def _ribs_of(anatomy: Anatomy, side: int, columns: slice) -> Map:
    """Return the ribs of a side on the columns that they can reach."""
    y, wall = anatomy.y[:, columns], anatomy.wall[:, columns]
    x = anatomy.x[:, columns] * side - 0.4 * anatomy.patient.rotation
    u = np.clip(x / anatomy.half_width, 0, 1.15)
    caged = inside(x - 10, 6) * inside(wall + 5 - x, 5)
    ends = inside(anatomy.dome[side] + 60 - y, 40)
    fall = 36 * u**2.4 - 13 * np.sin(np.pi * np.clip(1.15 * u, 0, 1))
    rise = 30 + 62 * (1 - np.clip((x - 28) / (anatomy.half_width - 28), 0, 1)) ** 0.85
    back, front = np.zeros_like(x), np.zeros_like(x)
    for number in range(RIBS):
        root = 54 + SPACING * anatomy.patient.height * number
        back += _band(y - root - fall, 4.6)
        if number < 6:
            front += _band(y - root - rise, 5.4)
    return np.asarray(caged * (0.85 * back * ends + 0.5 * front * inside(x - 48, 16)), np.float32)


def clavicles_and_scapulae(anatomy: Anatomy) -> Map:
    """Return clavicles, and the scapular borders at the side of the lungs."""
    out = np.zeros_like(anatomy.x)
    for side in (RIGHT, LEFT):
        x = anatomy.x * side - 0.9 * anatomy.patient.rotation
        u = np.clip((x - 14) / 150, 0, 1)
        line = 78 - 18 * np.sin(np.pi * 0.9 * u) + 10 * np.sin(2 * np.pi * u) - 6 * u
        out += 1.0 * _band(anatomy.y - line, 5.5 + 1.5 * (1 - u)) * inside(x - 14, 4) * inside(168 - x, 10)
        blade = anatomy.wall + 4 - 0.10 * (anatomy.y - 95)
        edge = np.exp(-(((x - blade) / 2.6) ** 2)) + 0.35 * inside(x - blade, 4) * inside(blade + 34 - x, 20)
        out += 0.45 * edge * inside(anatomy.y - 84, 20) * inside(190 - anatomy.y, 30)
    return out.astype(np.float32)


def spine(anatomy: Anatomy) -> Map:
    """Return the vertebral column with its discs and pedicles."""
    x = anatomy.x - 0.25 * anatomy.patient.rotation
    column = inside(17 - np.abs(x), 4) * (0.75 + 0.3 * np.cos(2 * np.pi * anatomy.y / 23.5))
    phase = (anatomy.y % 23.5) - 9
    pedicles = np.exp(-(((np.abs(x) - 11) / 3) ** 2) - (phase / 4) ** 2)
    return np.asarray(column + 0.3 * pedicles, np.float32)


def skeleton(anatomy: Anatomy) -> Map:
    """Return all bones."""
    return (ribs(anatomy) + clavicles_and_scapulae(anatomy) + spine(anatomy)) * (anatomy.body > 0)
