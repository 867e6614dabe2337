"""Parametric anatomy of a chest seen from the front: thickness along the beam of each tissue, in cm, on a grid in mm.

The field is 400 mm square; x runs from the patient's right (negative, left in the image) to the left, y from top to bottom.
Every length is in mm, so that the same patient looks the same at any number of pixels.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from osler_training.phantom.parameters import PARAMETERS
from osler_training.phantom.spec import StudySpec

Map = NDArray[np.float32]
Reals = NDArray[np.floating]
FIELD_MM = 400.0
RIGHT, LEFT = -1, 1
SIGN = {"right": RIGHT, "left": LEFT}


def inside(distance: Reals, softness: float) -> Map:
    """Return 1 where `distance` in mm is positive and 0 where it is negative, with an edge `softness` mm wide."""
    return np.asarray(np.clip(distance / softness + 0.5, 0, 1), np.float32)


def grid_mm(size: int) -> tuple[Map, Map]:
    """Return x and y in mm at the centres of `size` x `size` pixels."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) / size * FIELD_MM).astype(np.float32)
    y, x = np.meshgrid(centres, centres - FIELD_MM / 2, indexing="ij")
    return x, y


class Anatomy:
    """The chest of one study.

    Args:
        spec: The study; its findings shape heart, diaphragms and mediastinum.
        size: Pixels along a side.
        magnify_heart: Factor by which projection alone enlarges the heart.
    """

    def __init__(self, spec: StudySpec, size: int, magnify_heart: float = 1.0) -> None:
        patient = spec.patient
        portable = spec.view == "AP"
        self.spec, self.patient, self.size = spec, patient, size
        self.x, self.y = grid_mm(size)
        self.air = spec.severity("hyperinflation")
        self.half_width = 136 * patient.width * (1 + 0.05 * self.air)
        self.apex = 60.0
        self.shift = 0.9 * patient.rotation + self._shift()
        depth = 276 * patient.height + 16 * patient.inspiration + 26 * self.air - (12 if portable else 0)
        self.dome = {RIGHT: depth, LEFT: depth + 11}
        for finding in spec.of("atelectasis"):
            self.dome[SIGN[finding.side]] -= 30 * finding.severity
        self.ratio = patient.ratio + self._enlargement() - 0.07 * self.air
        self.heart_width = self.ratio * 2 * self.half_width
        self.seen_width = self.heart_width * magnify_heart * (1.07 if portable else 1.0)

    def _enlargement(self) -> float:
        """Return what disease adds to the cardiothoracic ratio."""
        severity = self.spec.severity("cardiomegaly")
        least, more = PARAMETERS.ratio_enlarged
        return max(0.0, least + more * severity - self.patient.ratio) if severity else 0.0

    def _shift(self) -> float:
        """Return the shift of the mediastinum in mm: towards a collapse, away from a large effusion or a tense pneumothorax."""
        pull = sum(SIGN[one.side] * 22 * one.severity for one in self.spec.of("atelectasis"))
        for kind, reach in (("effusion", 16), ("pneumothorax", 18)):
            for one in self.spec.of(kind):
                pull -= SIGN.get(one.side, 0) * reach * max(0.0, one.severity - 0.55) / 0.45
        return pull

    @cached_property
    def body(self) -> Map:
        """Soft tissue as if the chest were solid."""
        patient = self.patient
        width = (
            PchipInterpolator([0, 24, 50, 70, 105, 160, 230, 400], [54, 57, 88, 150, 205, 198, 184, 178])(self.y[:, :1])
            * patient.width
        )
        bulge = np.clip(1 - np.abs(self.x / width) ** 3, 0, 1) ** 0.5
        front = patient.body_cm * bulge * np.interp(self.y, [0, 60, 140, 400], [0.55, 0.72, 1.0, 1.12])
        breast = np.zeros_like(self.x)
        for side in (RIGHT, LEFT):
            reach = ((self.x - side * 84) / 62) ** 2 + ((self.y - 248) / 58) ** 2
            breast += 3.0 * patient.breast * np.sqrt(np.clip(1 - reach, 0, 1))
        return np.asarray(front + breast * (bulge > 0), np.float32)

    @cached_property
    def wall(self) -> Map:
        """Distance from the midline to the inner chest wall at each height."""
        down = np.clip((self.y - self.apex + 8) / 205, 0, 1)
        return (self.half_width * (0.22 + 0.78 * np.sqrt(np.clip(1 - (1 - down) ** 2.3, 0, 1)))).astype(np.float32)

    def across(self, side: int) -> Map:
        """Return the distance from the midline towards `side`."""
        near = np.clip(1.2 - np.abs(self.x) / self.half_width, 0, 1)
        return np.asarray((self.x - self.shift * near) * side, np.float32)

    def diaphragm(self, side: int) -> Map:
        """Return the height of the dome of a hemidiaphragm under each point, in mm from the top."""
        flat = 1 - 0.8 * self.air
        u = (np.abs(self.x) - 0.48 * self.half_width) / (0.52 * self.half_width)
        fall = 25 * flat * u**2 + 26 * flat * np.clip(u, 0, None) ** 4
        return (self.dome[side] + fall).astype(np.float32)

    def field(self, side: int) -> Map:
        """Return where a lung is seen clear of diaphragm and mediastinum, with soft edges."""
        return self.cage(side) * inside(self.diaphragm(side) - self.y, 3)

    def cage(self, side: int) -> Map:
        """Return where the space of a lung projects, behind heart and diaphragm too, with soft edges."""
        x = self.across(side)
        medial = 13 + 8 * np.exp(-(((self.y - 150) / 50) ** 2))
        top = self.apex - 6 + 42 * np.clip((x - 52) / 90, -0.6, 2) ** 2
        return inside(x - medial, 5) * inside(self.wall - x, 3) * inside(self.y - top, 5)

    def lung(self, side: int) -> Map:
        """Return the thickness of aerated lung; behind the dome a wedge goes on into the costophrenic recess."""
        x = np.abs(self.across(side))
        middle, half = (13 + self.wall) / 2, np.maximum((self.wall - 13) / 2, 6)
        profile = np.clip(1 - np.abs((x - middle) / half) ** 3.2, 0, 1) ** 0.5
        apical = np.clip((self.y - self.apex + 14) / 120, 0.15, 1) ** 0.55
        above = inside(self.diaphragm(side) - self.y, 3)
        recess = 0.22 * inside(self.dome[side] + 48 - self.y, 40)
        deep = 14.5 * (1 + 0.16 * self.air) * (self.patient.body_cm / 21.5)
        return (deep * self.cage(side) * profile * apical * (above + (1 - above) * recess)).astype(np.float32)

    @cached_property
    def heart(self) -> tuple[Map, NDArray[np.bool_]]:
        """Thickness of the heart and its silhouette; its widest extent is `seen_width`."""
        width = self.seen_width
        half = width / 2
        tall = 40 + 0.36 * width
        x = self.x - self.shift - 0.15 * width
        y = self.y - (self.dome[LEFT] - 0.42 * tall)
        tilt = np.deg2rad(38)
        long_axis, short_axis = tall * 1.08, half * 0.92
        u, v = x * np.cos(tilt) + y * np.sin(tilt), -x * np.sin(tilt) + y * np.cos(tilt)
        # Half the width of a turned superellipse: by Hölder, the dual norm of its semi-axes along x (1 / 2.2 + 1 / dual = 1).
        dual = 2.2 / 1.2
        extent = ((long_axis * np.cos(tilt)) ** dual + (short_axis * np.sin(tilt)) ** dual) ** (1 / dual)
        long_axis, short_axis = long_axis * half / extent, short_axis * half / extent
        reach = np.abs(u / long_axis) ** 2.2 + np.abs(v / short_axis) ** 2.2
        thick = 0.088 * width * np.clip(1 - reach, 0, 1) ** 0.45
        pad = (
            2.2
            * self.patient.fat_pad
            * np.exp(-(((self.x - self.shift - 0.56 * width) / 20) ** 2) - (((self.y - self.dome[LEFT]) / 14) ** 2))
        )
        below = inside(self.dome[LEFT] + 26 - self.y, 34)
        return ((thick + pad) * below).astype(np.float32), reach < 1

    @cached_property
    def mediastinum(self) -> Map:
        """Thickness of great vessels, aortic knob, hila and what lies between the lungs."""
        x, y = self.x - self.shift, self.y
        wide = np.interp(y, [0, 70, 110, 170, 260, 400], [20, 24, 27, 23, 22, 20])
        band = 5.2 * np.exp(-(np.abs(x / wide) ** 5))
        knob = 5.0 * np.sqrt(np.clip(1 - ((x - 22) / 18) ** 2 - ((y - 124) / 18) ** 2, 0, 1))
        aorta = 2.4 * np.exp(-(((x - 17) / 13) ** 4)) * inside(y - 125, 20)
        cava = 2.0 * np.exp(-(((x + 21) / 12) ** 4)) * inside(160 - y, 40)
        hila = sum(
            2.3 * np.exp(-(((x * side - 36) / 13) ** 2) - ((y - 158 + 8 * (side == LEFT)) / 21) ** 2)
            for side in (RIGHT, LEFT)
        )
        return np.asarray(np.maximum(band, knob) + aorta + cava + hila, np.float32)

    @cached_property
    def airway(self) -> Map:
        """Air in the trachea and the main bronchi."""
        x = self.x - self.shift * np.clip((self.y - 20) / 120, 0, 1)
        trachea = 1.7 * np.exp(-((x / 8) ** 4)) * inside(142 - self.y, 6)
        mains = np.zeros_like(self.x)
        for side, slope in ((RIGHT, 0.62), (LEFT, 0.95)):
            along = x * side - (self.y - 140) * slope
            mains += 0.9 * np.exp(-((along / 6) ** 2)) * inside(self.y - 138, 6) * inside(176 - self.y, 10)
        return (trachea + mains).astype(np.float32)

    @cached_property
    def gastric_air(self) -> Map:
        """Air under the left dome."""
        reach = ((self.x - 62) / 26) ** 2 + ((self.y - self.dome[LEFT] - 26) / 12) ** 2
        return (3.0 * np.sqrt(np.clip(1 - reach, 0, 1))).astype(np.float32)
