"""Findings drawn into a chest: what replaces or overlies lung, in cm of water-like tissue, and the mask of each.

Smooth changes are drawn on the coarse grid of the anatomy; fine lines go onto the full grid through `Canvas.lines`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from scipy.special import expit

from osler_training.phantom.anatomy import FIELD_MM, LEFT, RIGHT, SIGN, Anatomy, Map, Reals, inside
from osler_training.phantom.spec import Finding

ZONE_Y = {"upper": 112.0, "middle": 172.0, "lower": 232.0}
# Severity of oedema from which bronchi are cuffed, septal lines show, and alveoli fill.
PERIBRONCHIAL, KERLEY, ALVEOLAR = 0.35, 0.45, 0.65
Mask = NDArray[np.bool_]


class Canvas:
    """The lungs of one study while findings are drawn.

    Attributes:
        lung: Aerated lung by side, in cm.
        water: Tissue that findings add, in cm.
        vessels: Factor (H, W) on the bronchovascular tree.
        strokes: Fine lines: points (n, 2) in mm, thickness in cm, width in mm.
        masks: Mask of each kind of finding on the coarse grid.
    """

    def __init__(self, anatomy: Anatomy, rng: np.random.Generator) -> None:
        self.anatomy, self.rng = anatomy, rng
        self.lung = {side: anatomy.lung(side) for side in (RIGHT, LEFT)}
        self.water = np.zeros_like(anatomy.x)
        self.vessels = np.ones_like(anatomy.x)
        self.strokes: list[tuple[NDArray[np.float64], float, float]] = []
        self.masks: dict[str, Mask] = {}

    def mark(self, kind: str, mask: Mask) -> None:
        """Add to the mask of a kind."""
        self.masks[kind] = self.masks.get(kind, np.zeros_like(mask)) | mask

    def fill(self, side: int, share: Reals, density: float = 1.0) -> None:
        """Replace a share of a lung's air by tissue of a density relative to water."""
        replaced = self.lung[side] * np.clip(share, 0, 1)
        self.lung[side] = self.lung[side] - replaced
        self.water += replaced * density

    def stroke(self, points: NDArray[np.float64], thickness: float, width: float) -> None:
        """Draw a fine line."""
        self.strokes.append((points, thickness, width))

    def noise(self, correlation_mm: float) -> Map:
        """Return a smooth random field of mean 0 and standard deviation 1."""
        size = self.anatomy.size
        coarse = max(8, int(FIELD_MM / correlation_mm))
        field = zoom(self.rng.standard_normal((coarse, coarse)), size / coarse, order=3, mode="nearest")[:size, :size]
        return np.asarray((field - field.mean()) / field.std(), np.float32)


def draw_findings(canvas: Canvas) -> None:
    """Draw every finding of the study."""
    for finding in canvas.anatomy.spec.findings:
        if finding.kind in PAINTERS:
            PAINTERS[finding.kind](canvas, finding)
    heart = canvas.anatomy.heart[1]
    if canvas.anatomy.spec.of("cardiomegaly"):
        canvas.mark("cardiomegaly", heart & (canvas.anatomy.y < canvas.anatomy.dome[LEFT] + 20))


def _sides(finding: Finding) -> list[int]:
    return [RIGHT, LEFT] if finding.side == "both" else [SIGN[finding.side]]


def _effusion(canvas: Canvas, finding: Finding) -> None:
    """Fluid that rises along the chest wall (meniscus) and hides the costophrenic angle."""
    anatomy = canvas.anatomy
    for number, side in enumerate(_sides(finding)):
        severity = finding.severity * (0.75 if number else 1.0)
        across = np.clip((anatomy.across(side) - 13) / (anatomy.wall - 13), 0, 1)
        level = anatomy.dome[side] + 58 - 150 * severity - 34 * across**2.6 * min(1.0, 0.35 + severity)
        share = inside(anatomy.y - level, 12) * np.clip(0.45 + (anatomy.y - level) / 70, 0, 1)
        canvas.fill(side, share, 0.75)
        # The recess behind the dome fills as well: the angle loses its air.
        canvas.water += 1.6 * share * anatomy.cage(side) * inside(anatomy.y - anatomy.diaphragm(side), 8)
        canvas.vessels *= 1 - share
        canvas.mark("effusion", (share > 0.3) & (anatomy.cage(side) > 0.5) & (anatomy.y < anatomy.dome[side] + 62))


def consolidation_centre(finding: Finding, anatomy: Anatomy) -> tuple[float, float, float]:
    """Return x, y and radius in mm of a consolidation."""
    side = SIGN[finding.side]
    x = side * (46 + 52 * finding.detail["x"])
    y = min(ZONE_Y[finding.zone] + 24 * (finding.detail["y"] - 0.5), anatomy.dome[side] - 14)
    return x, y, 20 + 16 * finding.severity + 16 * finding.detail["size"]


def _consolidation(canvas: Canvas, finding: Finding) -> None:
    """Airspace opacity with a ragged edge, sharp where a fissure bounds it, with air bronchograms where it is dense."""
    anatomy, side = canvas.anatomy, SIGN[finding.side]
    x, y, radius = consolidation_centre(finding, anatomy)
    distance = np.hypot((anatomy.x - x) / 1.15, anatomy.y - y) / radius + 0.22 * canvas.noise(26)
    share = expit((0.9 - distance) * 7)
    if is_lobar(finding):
        fissure = y + 0.55 * radius - 0.25 * (np.abs(anatomy.x) - abs(x))
        share = share * inside(fissure - anatomy.y, 3)
    share = share * np.clip(0.85 + 0.25 * canvas.noise(9), 0.3, 1.2)
    canvas.fill(side, share * (0.22 + 0.5 * finding.severity), 0.8)
    canvas.vessels *= 1 - 0.8 * np.clip(share, 0, 1)
    if has_bronchograms(finding):
        for angle in canvas.rng.uniform(-0.9, 0.9, 4):
            reach = np.linspace(-0.55, 0.6, 12) * radius
            bend = angle + np.linspace(0, canvas.rng.normal(0, 0.4), 12)
            points = np.stack([x + side * reach * np.cos(bend), y + reach * np.sin(bend)], axis=1)
            canvas.stroke(points, -0.55, 2.4)
    canvas.mark("consolidation", (share > 0.45) & (anatomy.field(side) > 0.5))


def is_lobar(finding: Finding) -> bool:
    """Return whether a fissure bounds the consolidation."""
    return finding.detail["texture"] > 0.55


def has_bronchograms(finding: Finding) -> bool:
    """Return whether air bronchograms are drawn."""
    return finding.severity > 0.5 and finding.detail["texture"] > 0.3


def _oedema(canvas: Canvas, finding: Finding) -> None:
    """Perihilar haze, cuffed bronchi, Kerley B lines, and patches of alveolar oedema where it is marked."""
    anatomy, severity = canvas.anatomy, finding.severity
    for side in (RIGHT, LEFT):
        x = anatomy.across(side)
        wings = np.exp(-(((x - 50) / 34) ** 2) - ((anatomy.y - 172) / 58) ** 2)
        canvas.fill(side, 0.16 * severity * wings + 0.035 * severity)
        if severity >= ALVEOLAR:
            patches = wings * np.clip(canvas.noise(16) + 0.3, 0, 2)
            canvas.fill(side, 0.34 * (severity - 0.5) * patches)
        canvas.mark("oedema", (wings > 0.45) & (anatomy.field(side) > 0.5))
        if severity >= PERIBRONCHIAL:
            for _ in range(4):
                _ring(canvas, side * canvas.rng.uniform(38, 66) + anatomy.shift, canvas.rng.uniform(138, 205))
        if severity >= KERLEY:
            _kerley_b(canvas, side, severity)


def _ring(canvas: Canvas, x: float, y: float) -> None:
    """A bronchus seen end-on with its thickened wall."""
    turn = np.linspace(0, 2 * np.pi, 20)
    canvas.stroke(np.stack([x + 4.2 * np.cos(turn), y + 4.2 * np.sin(turn)], axis=1), 0.42, 1.6)


def _kerley_b(canvas: Canvas, side: int, severity: float) -> None:
    """Short horizontal lines that start at the chest wall."""
    anatomy = canvas.anatomy
    rows = np.linspace(anatomy.dome[side] - 52, anatomy.dome[side] + 8, 6 + int(4 * severity))
    for y in rows + canvas.rng.normal(0, 1.5, len(rows)):
        wall = float(np.interp(y, anatomy.y[:, 0], anatomy.wall[:, 0])) - 3
        length = canvas.rng.uniform(11, 20)
        points = np.stack([side * np.linspace(wall, wall - length, 6), np.full(6, y) + np.linspace(0, 1, 6)], axis=1)
        canvas.stroke(points, 0.30 + 0.2 * severity, 1.3)


def _pneumothorax(canvas: Canvas, finding: Finding) -> None:
    """Air between lung and chest wall, widest at the apex, with the visceral pleura as a fine line."""
    anatomy, side = canvas.anatomy, SIGN[finding.side]
    depth = (10 + 48 * finding.severity) * np.clip(1.25 - (anatomy.y - anatomy.apex) / 210, 0.12, 1.25)
    edge = anatomy.wall - depth
    x = anatomy.across(side)
    free = np.maximum(inside(x - edge, 2), inside(anatomy.apex + 0.55 * depth - anatomy.y + 6, 2))
    free = free * anatomy.cage(side)
    canvas.vessels *= 1 - free
    canvas.fill(side, 0.75 * free, 0.0)
    canvas.fill(side, 0.05 * finding.severity * (1 - free))
    rows = np.arange(anatomy.apex + 14, anatomy.dome[side] - 6, 2.0)
    border = np.interp(rows, anatomy.y[:, 0], edge[:, 0])
    top = np.clip((rows - anatomy.apex - 10) / 34, 0, 1) ** 0.5
    canvas.stroke(np.stack([side * border * top + anatomy.shift * 0.2, rows], axis=1), 0.5, 1.3)
    canvas.mark("pneumothorax", (free > 0.5) & (anatomy.field(side) > 0.5))


def _nodule(canvas: Canvas, finding: Finding) -> None:
    """A dense sphere, anywhere in a lung."""
    anatomy, side = canvas.anatomy, SIGN[finding.side]
    x = side * (40 + 62 * finding.detail["x"])
    y = min(ZONE_Y[finding.zone] + 30 * (finding.detail["y"] - 0.5), anatomy.dome[side] - 16)
    radius = 5.5 + 9 * finding.severity
    distance = np.hypot(anatomy.x - x, anatomy.y - y) / radius
    sphere = np.sqrt(np.clip(1 - distance**2, 0, 1)) * radius * 2 / 10
    canvas.water += 1.25 * gaussian_filter(sphere, 0.6).astype(np.float32)
    canvas.mark("nodule", distance < 1)


def _atelectasis(canvas: Canvas, finding: Finding) -> None:
    """Plate-like opacities and crowding at the side of a raised dome."""
    anatomy, side = canvas.anatomy, SIGN[finding.side]
    base = min(ZONE_Y[finding.zone] + 22, anatomy.dome[side] - 12)
    region = np.zeros(anatomy.x.shape, bool)
    for number in range(1 + int(finding.severity > 0.5)):
        y0 = base - 17 * number + 8 * (finding.detail["y"] - 0.5)
        x = np.linspace(34, 34 + 40 + 30 * finding.severity, 14)
        rise = np.tan(np.deg2rad(canvas.rng.uniform(-16, 16)))
        points = np.stack([side * x + 0.5 * anatomy.shift, y0 - rise * (x - 50)], axis=1)
        canvas.stroke(points, 0.9 + 0.6 * finding.severity, 3.0 + 1.5 * finding.severity)
        line = y0 - rise * (np.abs(anatomy.x) - 50)
        region |= (np.abs(anatomy.y - line) < 5) & (anatomy.x * side > 34) & (anatomy.x * side < x[-1])
    wedge = inside(70 - np.abs(anatomy.x), 20) * inside(anatomy.y - anatomy.dome[side] + 55, 40)
    canvas.fill(side, 0.16 * finding.severity * wedge)
    canvas.mark("atelectasis", region & (anatomy.field(side) > 0.5))


def _hyperinflation(canvas: Canvas, finding: Finding) -> None:
    """Anatomy has the large lungs already; here vessels thin out."""
    canvas.vessels *= 1 - 0.45 * finding.severity
    for side in (RIGHT, LEFT):
        canvas.fill(side, np.float32(0.12 * finding.severity) * np.ones_like(canvas.water), 0.0)
        canvas.mark("hyperinflation", canvas.anatomy.field(side) > 0.5)


PAINTERS: dict[str, Callable[[Canvas, Finding], None]] = {
    "effusion": _effusion,
    "consolidation": _consolidation,
    "oedema": _oedema,
    "pneumothorax": _pneumothorax,
    "nodule": _nodule,
    "atelectasis": _atelectasis,
    "hyperinflation": _hyperinflation,
}
