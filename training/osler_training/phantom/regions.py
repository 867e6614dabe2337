"""Where each concept shows in a phantom: the truth that heat maps are held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from osler_training.phantom.anatomy import FIELD_MM, Anatomy
from osler_training.phantom.devices import draw_devices
from osler_training.phantom.findings import ALVEOLAR, Canvas, draw_findings
from osler_training.phantom.parameters import DEVICES
from osler_training.phantom.render import COARSE
from osler_training.phantom.spec import StudySpec

Mask = NDArray[np.bool_]
# The kinds of finding whose mask shows the concept. Concepts that a mask does not bound (vessels, septal lines at the
# wall, shifted organs) are left out rather than approximated.
FINDING_OF: dict[str, tuple[str, ...]] = {
    "enlarged_cardiac_silhouette": ("cardiomegaly",),
    "perihilar_haze": ("oedema",),
    "peribronchial_cuffing": ("oedema",),
    "blunted_costophrenic_angle": ("effusion",),
    "meniscus_sign": ("effusion",),
    "basal_opacity": ("effusion", "consolidation"),
    "airspace_opacity": ("consolidation", "oedema"),
    "air_bronchograms": ("consolidation",),
    "focal_opacity": ("consolidation",),
    "lobar_distribution": ("consolidation",),
    "visceral_pleural_line": ("pneumothorax",),
    "absent_peripheral_lung_markings": ("pneumothorax",),
    "rounded_opacity": ("nodule",),
    "linear_opacity": ("atelectasis",),
    "hyperlucent_lungs": ("hyperinflation",),
}
REGION_CONCEPTS = (*FINDING_OF, *DEVICES)
MARGIN_MM = 5.0


def concept_regions(
    spec: StudySpec, concepts: dict[str, int], masks: dict[str, Mask], size: int, *, magnify_heart: float = 1.0
) -> dict[str, Mask]:
    """Return the mask (size, size) of every concept that is present and has one.

    Args:
        spec: The study.
        concepts: Truth of its concepts.
        masks: Mask (S, S) of each kind of finding, as rendered, S a multiple of `size`.
        size: Rows and columns of the masks that are returned.
        magnify_heart: As in rendering.
    """
    regions = device_masks(spec, size, magnify_heart=magnify_heart) if spec.devices else {}
    for concept, kinds in FINDING_OF.items():
        shown = [_smaller(masks[kind], size) for kind in kinds if kind in masks and _shows(concept, kind, spec)]
        if concepts[concept] and shown and np.any(shown):
            regions[concept] = np.any(shown, axis=0)
    return regions


def _shows(concept: str, kind: str, spec: StudySpec) -> bool:
    """Return whether a finding of the kind makes the concept true: a mild oedema fills no alveoli."""
    if concept == "airspace_opacity" and kind == "oedema":
        return spec.severity("oedema") >= ALVEOLAR
    if concept == "basal_opacity" and kind == "consolidation":
        return any(one.zone == "lower" for one in spec.of(kind))
    return True


def _smaller(mask: Mask, size: int) -> Mask:
    """Return the mask on a coarser grid: a cell belongs to it where half of its pixels do, or its centre of mass."""
    step = len(mask) // size
    share = mask.reshape(size, step, size, step).mean((1, 3))
    coarse = share >= 0.5
    if mask.any() and not coarse.any():
        coarse = share == share.max()
    return np.asarray(coarse)


def device_masks(spec: StudySpec, size: int, *, magnify_heart: float = 1.0) -> dict[str, Mask]:
    """Return where each device was drawn, with a margin of 5 mm: a line of one pixel cannot be pointed at."""
    anatomy = Anatomy(spec, min(size, COARSE), magnify_heart)
    canvas = Canvas(anatomy, np.random.default_rng(spec.texture_seed))
    draw_findings(canvas)  # devices draw from the same stream, after findings
    masks = {}
    for device in spec.devices:
        before = len(canvas.strokes)
        anatomy.spec = replace(spec, devices=(device,))
        draw_devices(canvas)
        points = np.concatenate([_along(stroke[0]) for stroke in canvas.strokes[before:]])
        masks[device] = _near(points, size)
    return masks


def _along(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on a line at most a millimetre apart."""
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(points, axis=0).T))]
    at = np.linspace(0, length[-1], int(length[-1]) + 2)
    return np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], axis=1)


def _near(points: NDArray[np.float64], size: int) -> Mask:
    x, y = points[:, 0] + FIELD_MM / 2, points[:, 1]
    column, row = (np.floor(one / FIELD_MM * size).astype(int) for one in (x, y))
    there = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    drawn = np.zeros((size, size), bool)
    drawn[row[there], column[there]] = True
    return np.asarray(distance_transform_edt(~drawn) * FIELD_MM / size <= MARGIN_MM)
