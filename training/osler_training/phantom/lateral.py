"""The lateral film of a study: the same patient and findings seen from the left side, front of the chest to the left."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from osler_training.phantom.anatomy import FIELD_MM, Map, grid_mm, inside
from osler_training.phantom.render import detected, line_integral
from osler_training.phantom.spec import StudySpec
from osler_training.phantom.vessels import bronchovascular_tree

# Height of each zone's findings; wall of the chest in front of the lungs and behind them.
SEEN = {"lower": 232.0, "middle": 190.0, "upper": 128.0, "": 200.0}
WALL_FRONT, WALL_BACK = 20.0, 27.0


def project_lateral(spec: StudySpec, size: int, rng: np.random.Generator, *, scatter: float, photons: float) -> Map:
    """Return the recorded log attenuation (S, S) of a left lateral film.

    Args:
        spec: The study.
        size: Pixels along a side.
        rng: Source of vessels and noise.
        scatter: Share of the recorded intensity that is scattered.
        photons: Photons per pixel of 0.78 mm in the open field.
    """
    x, y = grid_mm(size)
    x = x * (21.5 / spec.patient.body_cm)
    front, back = _outline(y)
    lung = _lungs(spec, x, y, front + WALL_FRONT, back - WALL_BACK)
    dense = np.minimum(_heart_and_vessels(spec, x, y, front) + _findings(spec, x, y, lung), 0.85 * lung)
    dense += 0.7 * bronchovascular_tree(size, 0.0, rng) * (lung > 6) * np.clip(1 - dense / 6, 0, 1)
    body = 26 * spec.patient.width * np.clip(1 - np.abs((2 * x - front - back) / (back - front)) ** 3, 0, 1) ** 0.5
    airway = 1.6 * np.exp(-(((x - 12 - 0.1 * (y - 60)) / 8) ** 4)) * inside(162 - y, 12)
    soft = np.clip(body - lung + dense - airway, 0, None)
    attenuation = line_integral(soft, np.clip(lung - dense, 0, None), _bones(x, y, front, back))
    return detected(attenuation, scatter, photons * (512 / size) ** 2, rng)


def _outline(y: Map) -> tuple[Map, Map]:
    """Return where the skin lies in front and behind at each height, with the arms raised."""
    heights = [30, 60, 95, 140, 200, 280, 400]
    front, back = (
        gaussian_filter1d(np.interp(y[:, 0], heights, at), 9 * len(y) / FIELD_MM, mode="nearest")[:, None]
        for at in ([-48, -66, -100, -122, -130, -132, -131], [62, 84, 112, 126, 128, 122, 114])
    )
    return front.astype(np.float32), back.astype(np.float32)


def _lungs(spec: StudySpec, x: Map, y: Map, front: Map, back: Map) -> Map:
    """Return both lungs in cm: from the apex down to the domes, which fall away behind."""
    air = spec.severity("hyperinflation")
    dome = 262 * spec.patient.height + 16 * spec.patient.inspiration + 22 * air
    floor = dome + (1 - 0.7 * air) * (0.0026 * (x + 40) ** 2 + 0.2 * np.clip(x, 0, None))
    across = np.abs((2 * x - front - back) / (back - front))
    profile = np.clip(1 - across**4, 0, 1) ** 0.6 * np.clip((y - 44) / 70, 0, 1) ** 0.6
    return np.asarray(20 * profile * inside(floor - y, 4), np.float32)


def _heart_and_vessels(spec: StudySpec, x: Map, y: Map, front: Map) -> Map:
    """Return heart, aortic arch and hila in cm; the heart lies on the breastbone and the dome."""
    large = 52 + 120 * max(0.0, spec.patient.ratio - 0.42) + 14 * spec.severity("cardiomegaly")
    u, v = x - front - WALL_FRONT - 0.82 * large, y - 222
    turned = u * 0.8 + v * 0.6, -u * 0.6 + v * 0.8
    heart = 8.5 * _ball(turned[0], turned[1], 1.18 * large, 0.88 * large)
    ring = np.hypot((x - 22) / 1.1, y - 138)
    arch = 2.6 * np.exp(-(((ring - 26) / 11) ** 2)) * inside(152 - y, 30)
    descending = 1.8 * np.exp(-(((x - 56 + 0.05 * (y - 150)) / 11) ** 4)) * inside(y - 140, 20)
    return np.asarray(np.maximum(heart, arch + descending) + 3.0 * _ball(x - 12, y - 172, 20, 24), np.float32)


def _bones(x: Map, y: Map, front: Map, back: Map) -> Map:
    """Return sternum, vertebrae and the ribs of both sides in cm of compact bone."""
    disc = 0.75 + 0.45 * np.cos(2 * np.pi * y / 23.5)
    spine = 1.3 * inside(15 - np.abs(x - back + 44), 4) * np.clip(disc, 0.3, 1)
    sternum = 0.9 * inside(5 - np.abs(x - front - 14), 3) * inside(y - 92, 6) * inside(250 - y, 6)
    phase = (y - 40 + 0.5 * (x + 110) - 0.0012 * x**2) % 24 - 12
    caged = inside(x - front - 12, 8) * inside(back - 12 - x, 8) * inside(y - 60, 30) * inside(300 - y, 60)
    return np.asarray(spine + sternum + 0.32 * np.exp(-((phase / 3.2) ** 4)) * caged, np.float32)


def _findings(spec: StudySpec, x: Map, y: Map, lung: Map) -> Map:
    """Return the water in cm that the findings add in place of air."""
    added = np.zeros_like(x)
    for one in spec.of("consolidation"):
        added += 5 * one.severity * _ball(x - 70 * (one.detail["x"] - 0.4), y - SEEN[one.zone], 38, 34)
    for one in spec.of("nodule"):
        added += 1.5 * _ball(x - 90 * (one.detail["x"] - 0.5), y - SEEN[one.zone], 9, 9)
    fluid = spec.severity("effusion")
    level = 340 - 80 * fluid - 0.12 * np.clip(x - 20, 0, None)
    added += 10 * fluid * inside(y - level, 8) * inside(x - 20, 30)
    added += 1.6 * spec.severity("oedema") * np.exp(-((x / 60) ** 2) - ((y - 175) / 60) ** 2)
    return np.minimum(added, lung)


def _ball(x: Map, y: Map, wide: float, tall: float) -> Map:
    """Return the relative thickness of an ellipsoid."""
    return np.asarray(np.sqrt(np.clip(1 - (x / wide) ** 2 - (y / tall) ** 2, 0, 1)), np.float32)
