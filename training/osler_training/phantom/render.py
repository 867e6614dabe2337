"""From a study's specification to the log attenuation that a detector records (Beer-Lambert, scatter, quantum noise)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from osler_training.phantom.anatomy import FIELD_MM, LEFT, RIGHT, Anatomy, Map, grid_mm
from osler_training.phantom.bones import skeleton
from osler_training.phantom.devices import draw_devices
from osler_training.phantom.findings import Canvas, Mask, draw_findings
from osler_training.phantom.spec import StudySpec
from osler_training.phantom.truth import concept_truth
from osler_training.phantom.vessels import bronchovascular_tree, strokes_to_map

# Linear attenuation per cm at about 70 keV: soft tissue, aerated lung, and compact bone beyond the tissue it replaces.
WATER, LUNG, BONE = 0.20, 0.05, 0.50
# Anatomy is smooth: beyond this many pixels it is interpolated, and only vessels, lines and noise are drawn in full.
COARSE = 256
SCATTER_MM = 28.0

Overlay = Callable[[Map, Map, Map], Map]


@dataclass(frozen=True)
class Projection:
    """A projected study.

    Attributes:
        attenuation: Log attenuation (S, S) with scatter and noise; open field is near 0.
        masks: Where each kind of finding shows (S, S).
        concepts: Truth of every concept.
        cardiothoracic_ratio: Width of the heart over the inner width of the chest, without magnification.
        spacing_mm: Pixel spacing.
    """

    attenuation: Map
    masks: dict[str, Mask]
    concepts: dict[str, int]
    cardiothoracic_ratio: float
    spacing_mm: float


def project(
    spec: StudySpec,
    size: int,
    *,
    scatter: float = 0.35,
    photons: float = 6e4,
    overlay: Overlay | None = None,
    magnify_heart: float = 1.0,
) -> Projection:
    """Project a study.

    Args:
        spec: What to show.
        size: Pixels along a side.
        scatter: Share of the recorded intensity that is scattered.
        photons: Photons per pixel of 0.78 mm in the open field.
        overlay: Adds objects in the beam to the attenuation, given x and y in mm, before scatter and noise.
        magnify_heart: Factor by which projection enlarges the heart.
    """
    rng = np.random.default_rng(spec.texture_seed)
    anatomy = Anatomy(spec, min(size, COARSE), magnify_heart)
    canvas = Canvas(anatomy, rng)
    draw_findings(canvas)
    draw_devices(canvas)
    smooth, aerated = _attenuation(anatomy, canvas)
    fine = _fine_detail(canvas, size, rng)
    attenuation = _enlarged(smooth, size) + WATER * fine * _enlarged(aerated, size) + WATER * _strokes(canvas, size)
    if overlay is not None:
        attenuation = overlay(attenuation, *grid_mm(size))
    return Projection(
        attenuation=detected(attenuation, scatter, photons * (512 / size) ** 2, rng),
        masks={kind: _enlarged_mask(mask, size) for kind, mask in canvas.masks.items()},
        concepts=concept_truth(anatomy),
        cardiothoracic_ratio=anatomy.ratio,
        spacing_mm=FIELD_MM / size,
    )


def line_integral(tissue_cm: Map, lung_cm: Map, bone_cm: Map) -> Map:
    """Return log attenuation of stacked tissues (Beer-Lambert)."""
    return np.asarray(WATER * tissue_cm + LUNG * lung_cm + BONE * bone_cm, np.float32)


def _attenuation(anatomy: Anatomy, canvas: Canvas) -> tuple[Map, Map]:
    """Return the smooth log attenuation, and in how far vessels show against air (0 to 1)."""
    air = canvas.lung[RIGHT] + canvas.lung[LEFT]
    total = anatomy.lung(RIGHT) + anatomy.lung(LEFT)
    dense = np.minimum(np.maximum(anatomy.heart[0], anatomy.mediastinum), 0.85 * total)
    left = np.where(total > 0.1, air / np.maximum(total, 0.1), 1)
    lung = np.clip(air - dense * left, 0, None)
    soft = np.clip(anatomy.body - total + dense - anatomy.airway - anatomy.gastric_air, 0, None)
    # What the lungs lost to findings is either water, which they drew, or free air, which attenuates nothing.
    soft = soft + canvas.water
    crowd = np.clip(lung / 7, 0, 1) * canvas.vessels
    return line_integral(soft, lung, skeleton(anatomy)), crowd.astype(np.float32)


def _fine_detail(canvas: Canvas, size: int, rng: np.random.Generator) -> Map:
    """Return vessels in cm; oedema sends flow to the upper zones."""
    return bronchovascular_tree(size, canvas.anatomy.shift, rng, canvas.anatomy.spec.severity("oedema"))


def _strokes(canvas: Canvas, size: int) -> Map:
    """Return all fine lines in cm of water."""
    out = np.zeros((size, size), np.float32)
    for width in sorted({stroke[2] for stroke in canvas.strokes}):
        lines = [(points[:, 0] + 1j * points[:, 1], cm) for points, cm, mm in canvas.strokes if mm == width]
        start, end = (np.concatenate([line[part] for line, _ in lines]) for part in (slice(None, -1), slice(1, None)))
        thickness = np.concatenate([np.full(len(line) - 1, cm, np.float32) for line, cm in lines])
        out += strokes_to_map(size, start, end, thickness, width)
    return out


def _enlarged(smooth: Map, size: int) -> Map:
    factor = size / len(smooth)
    return (
        smooth if factor == 1 else np.asarray(zoom(smooth, factor, order=1, mode="nearest", grid_mode=True), np.float32)
    )


def _enlarged_mask(mask: Mask, size: int) -> Mask:
    at = np.arange(size) * len(mask) // size
    return mask[np.ix_(at, at)]


def detected(attenuation: Map, scatter: float, photons: float, rng: np.random.Generator) -> Map:
    """Return the log attenuation (S, S) that is recorded: a wide blur of the beam is scatter; noise is that of counting.

    Args:
        attenuation: Log attenuation (S, S) of the primary beam.
        scatter: Share of the recorded intensity that is scattered.
        photons: Photons per pixel in the open field.
        rng: Source of the noise.
    """
    primary = np.exp(-attenuation)
    size = len(primary)
    step = max(1, size // 64)
    coarse = (
        primary[: size // step * step, : size // step * step]
        .reshape(size // step, step, size // step, step)
        .mean((1, 3))
    )
    wide = gaussian_filter(coarse, SCATTER_MM / FIELD_MM * len(coarse))
    blurred = zoom(wide, size / len(wide), order=1, mode="nearest", grid_mode=True)
    intensity = (1 - scatter) * primary + scatter * blurred
    noisy = intensity + rng.standard_normal(intensity.shape, np.float32) * np.sqrt(intensity / photons)
    return np.asarray(-np.log(np.clip(noisy, 1e-5, None)), np.float32)
