"""Named measurements of a frontal chest radiograph, each with its unit and how it is taken; NaN where it cannot be.

They follow what radiologists measure by hand: the cardiothoracic ratio (Danzer 1919), the costophrenic angles, the lungs'
size and symmetry, and how opaque each of six zones is. Lengths are shares, so that the magnification changes nothing;
brightness is relative to the mediastinum and to the clearest lung of the same film, so that exposure changes little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from skimage.filters import gaussian
from skimage.measure import find_contours

from osler.bottleneck.records import Array, BoolArray
from osler.morphometry.chest import LEFT, RIGHT, Chest, ChestParameters, NoLungs, around, segment
from osler.morphometry.golden import golden_chest
from osler.morphometry.rules import Measurement, Reading, RuleSet

VERSION = 1  # Raised whenever a measurement is taken differently: the digest of the encoder covers it.
LEAST = 40  # Pixels below which a zone has no brightness of its own.
ARM = 0.18  # Length of the arms of a costophrenic angle, as a share of the height of the lung.
SIDES = ("right", "left")
ZONES = ("upper", "middle", "lower")


@dataclass(frozen=True, eq=False)
class Film:
    """A film whose lungs were found, with what is measured on it.

    Attributes:
        chest: What was found.
    """

    chest: Chest

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Top, bottom, left and right of both spaces, in pixels."""
        return around(self.chest.spaces)

    @cached_property
    def thorax(self) -> float:
        """Widest inner width of the thorax in pixels: between the outer edges of the two spaces in one row."""
        rows = self.chest.spaces.any(axis=2).all(axis=0)
        widths = [
            np.flatnonzero(self.chest.spaces[LEFT, row])[-1] - np.flatnonzero(self.chest.spaces[RIGHT, row])[0] + 1
            for row in np.flatnonzero(rows)
        ]
        return float(max(widths, default=0))

    @cached_property
    def middle(self) -> float:
        """Column of the midline: halfway between the inner edges of the spaces, the median over the upper half."""
        found = self.inner_edges(self.chest.spaces, 0.1, 0.5)
        return float(np.median(found.mean(axis=1))) if len(found) else float(np.mean(self.box[2:]))

    def inner_edges(self, lungs: BoolArray, start: float, stop: float) -> Array:
        """Return the columns of the inner edges of both lungs (n, 2), a row each between two shares of the height."""
        top, bottom = self.box[:2]
        rows = range(round(top + start * (bottom - top)), round(top + stop * (bottom - top)))
        both = [row for row in rows if 0 <= row < lungs.shape[1] and lungs[:, row].any(axis=1).all()]
        edges = [(np.flatnonzero(lungs[RIGHT, row])[-1], np.flatnonzero(lungs[LEFT, row])[0]) for row in both]
        return np.array(edges, float).reshape(-1, 2)

    @cached_property
    def heart(self) -> tuple[float, float]:
        """How far the heart reaches from the midline to the right and to the left, in pixels."""
        reach = [self._heart_reach(side) for side in (RIGHT, LEFT)]
        return reach[RIGHT], reach[LEFT]

    def _heart_reach(self, side: int) -> float:
        """Return how far off the midline a lung's inner edge lies where the heart is widest, above the diaphragm."""
        lung = self.chest.lungs[side]
        columns = np.flatnonzero(lung.any(axis=0))
        outwards = columns[::-1] if side == RIGHT else columns
        beside = outwards[len(columns) // 2 : max(4 * len(columns) // 5, 1)]
        if not len(beside):
            return float("nan")
        # Below the dome, which lies beside the heart, a lung's inner edge is the diaphragm's.
        dome = min(int(np.flatnonzero(lung[:, column])[-1]) for column in beside)
        top, bottom = self.box[:2]
        rows = [row for row in range(round(top + 0.4 * (bottom - top)), dome) if lung[row].any()]
        if len(rows) < 5:
            return float("nan")
        ends = np.array([np.flatnonzero(lung[row])[[0, -1]] for row in rows], float)
        reach = self.middle - ends[:, 1] if side == RIGHT else ends[:, 0] - self.middle
        return float(np.quantile(reach, 0.95))

    @cached_property
    def levels(self) -> tuple[float, float]:
        """Brightness of the clearest lung and of the mediastinum."""
        top, bottom = self.box[:2]
        lungs = self.chest.spaces.any(axis=0)
        edges = self.inner_edges(self.chest.spaces, 0.3, 0.8)
        clear = float(np.quantile(self.chest.image[lungs], 0.05))
        if not len(edges):
            return clear, float("nan")
        between = slice(int(np.median(edges[:, RIGHT])) + 1, max(int(np.median(edges[:, LEFT])), 1))
        rows = slice(round(top + 0.3 * (bottom - top)), round(top + 0.8 * (bottom - top)))
        part = self.chest.image[rows, between]
        return clear, float(np.median(part)) if part.size else float("nan")

    def zone(self, side: int, third: int) -> BoolArray:
        """Return a third of the space of a lung by height, without what lies behind the heart (h, w)."""
        space = self.chest.spaces[side]
        rows = np.flatnonzero(space.any(axis=1))
        cuts = np.linspace(rows[0], rows[-1] + 1, 4).round().astype(int)
        zone = np.zeros_like(space)
        zone[cuts[third] : cuts[third + 1]] = space[cuts[third] : cuts[third + 1]]
        columns = np.arange(space.shape[1])
        hidden = (
            columns < self.middle + 0.12 * self.thorax if side == LEFT else columns > self.middle - 0.08 * self.thorax
        )
        return np.asarray(zone & ~hidden)

    def opacity(self, side: int, third: int) -> float:
        """Return the mean brightness of a zone: 0 as the clearest lung, 1 as the mediastinum."""
        zone, (clear, dense) = self.zone(side, third), self.levels
        if zone.sum() < LEAST or not dense > clear:
            return float("nan")
        return float((self.chest.image[zone].mean() - clear) / (dense - clear))

    def texture(self, side: int) -> float:
        """Return the root mean square of what is finer than a fiftieth of the height, over the mediastinum's contrast."""
        clear, dense = self.levels
        space, sigma = self.chest.lungs[side], (self.box[1] - self.box[0]) / 50
        inner = ndimage.binary_erosion(space, iterations=max(1, round(2 * sigma)))
        if inner.sum() < LEAST or not dense > clear:
            return float("nan")
        fine = gaussian(self.chest.image, sigma / 2) - gaussian(self.chest.image, 2 * sigma)
        return float(np.sqrt((fine[inner] ** 2).mean()) / (dense - clear))

    def height(self, side: int) -> float:
        """Return the height of what is seen of a lung, in pixels."""
        return float(self.chest.lungs[side].any(axis=1).sum())

    def angle(self, side: int) -> float:
        """Return the angle in degrees at the outer lower corner of a lung, between chest wall and diaphragm."""
        lines = find_contours(np.pad(self.chest.lungs[side].astype(float), 1), 0.5)
        if not lines:
            return float("nan")
        line = max(lines, key=len)
        outward = -line[:, 1] if side == RIGHT else line[:, 1]
        corner = int(np.argmax(line[:, 0] + 1.2 * outward))
        length = np.hypot(*(line - line[corner]).T)
        arm = ARM * self.height(side)
        away = np.roll(length, -corner)
        first, second = int(np.argmax(away >= arm)), int(np.argmax(away[::-1] >= arm))
        if away.max() < arm or first == 0 or second == 0:
            return float("nan")
        ends = np.roll(line, -corner, axis=0)
        to = [ends[first] - line[corner], ends[-1 - second] - line[corner]]
        cosine = np.dot(*to) / (np.linalg.norm(to[0]) * np.linalg.norm(to[1]))
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def cardiothoracic_ratio(film: Film) -> float:
    """Width of the heart over the widest inner width of the thorax."""
    return float(sum(film.heart) / film.thorax)


def heart_right_share(film: Film) -> float:
    """How far the heart reaches to the right of the midline, over the widest inner width of the thorax."""
    return float(film.heart[0] / film.thorax)


def heart_left_share(film: Film) -> float:
    """How far the heart reaches to the left of the midline, over the widest inner width of the thorax."""
    return float(film.heart[1] / film.thorax)


def upper_mediastinum_share(film: Film) -> float:
    """Median distance of the inner edges of the lungs in the upper third, over the widest inner width of the thorax."""
    edges = film.inner_edges(film.chest.lungs, 0.12, 0.35)
    return float(np.median(edges[:, LEFT] - edges[:, RIGHT]) / film.thorax) if len(edges) else float("nan")


def midline_offset(film: Film) -> float:
    """Distance of the midline from the middle of the thorax, to the left, over the widest inner width of the thorax."""
    return float((film.middle - (film.box[2] + film.box[3]) / 2) / film.thorax)


def costophrenic_angle_right(film: Film) -> float:
    """Angle of the right lung's outer lower corner, arms of 18% of the lung's height: blunt in an effusion."""
    return film.angle(RIGHT)


def costophrenic_angle_left(film: Film) -> float:
    """Angle of the left lung's outer lower corner, arms of 18% of the lung's height: blunt in an effusion."""
    return film.angle(LEFT)


def lung_share_right(film: Film) -> float:
    """Area of what is seen of the right lung over that of both."""
    return float(film.chest.lungs[RIGHT].sum() / film.chest.lungs.sum())


def seen_share_right(film: Film) -> float:
    """Area of what is seen of the right lung over the area of its space."""
    return float((film.chest.lungs[RIGHT] & film.chest.spaces[RIGHT]).sum() / film.chest.spaces[RIGHT].sum())


def seen_share_left(film: Film) -> float:
    """Area of what is seen of the left lung over the area of its space."""
    return float((film.chest.lungs[LEFT] & film.chest.spaces[LEFT]).sum() / film.chest.spaces[LEFT].sum())


def inspiratory_height(film: Film) -> float:
    """Mean height of what is seen of the two lungs over the widest inner width of the thorax."""
    return float((film.height(RIGHT) + film.height(LEFT)) / 2 / film.thorax)


def diaphragm_step(film: Film) -> float:
    """How much lower the right lung ends than the left, over the widest inner width of the thorax."""
    ends = [np.flatnonzero(film.chest.lungs[side].any(axis=1))[-1] for side in (RIGHT, LEFT)]
    return float((ends[RIGHT] - ends[LEFT]) / film.thorax)


def diaphragm_flatness(film: Film) -> float:
    """Mean rise of the diaphragm's arches over the chord from heart to outer corner, over the chord; low where flat."""
    rises = [_rise(film.chest.lungs[side]) for side in (RIGHT, LEFT)]
    return float(np.nanmean(rises)) if np.isfinite(rises).any() else float("nan")


def _rise(lung: BoolArray) -> float:
    columns = np.flatnonzero(lung.any(axis=0))
    inner = columns[round(0.15 * len(columns)) : round(0.95 * len(columns))]
    if len(inner) < 8:
        return float("nan")
    lowest = np.array([np.flatnonzero(lung[:, column])[-1] for column in inner], float)
    chord = np.linspace(lowest[0], lowest[-1], len(inner))
    return float(np.max(chord - lowest) / len(inner))


def opacity_right_upper(film: Film) -> float:
    """Mean brightness of the upper third of the right lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(RIGHT, 0)


def opacity_right_middle(film: Film) -> float:
    """Mean brightness of the middle third of the right lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(RIGHT, 1)


def opacity_right_lower(film: Film) -> float:
    """Mean brightness of the lower third of the right lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(RIGHT, 2)


def opacity_left_upper(film: Film) -> float:
    """Mean brightness of the upper third of the left lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(LEFT, 0)


def opacity_left_middle(film: Film) -> float:
    """Mean brightness of the middle third of the left lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(LEFT, 1)


def opacity_left_lower(film: Film) -> float:
    """Mean brightness of the lower third of the left lung: 0 as the clearest lung, 1 as the mediastinum."""
    return film.opacity(LEFT, 2)


def opacity_mean(film: Film) -> float:
    """Mean of the opacities of the six zones that could be measured."""
    zones = [film.opacity(side, third) for side in (RIGHT, LEFT) for third in range(3)]
    return float(np.nanmean(zones)) if np.isfinite(zones).any() else float("nan")


def opacity_asymmetry(film: Film) -> float:
    """Mean over the three heights of the absolute difference of opacity between right and left."""
    return float(np.mean([abs(film.opacity(RIGHT, third) - film.opacity(LEFT, third)) for third in range(3)]))


def opacity_slope(film: Film) -> float:
    """Mean opacity of the two lower zones less that of the two upper ones."""
    low, high = ((film.opacity(RIGHT, third) + film.opacity(LEFT, third)) / 2 for third in (2, 0))
    return float(low - high)


def texture_right(film: Film) -> float:
    """Fine contrast of the right lung (vessels, lines, bronchi), over the contrast of mediastinum and clearest lung."""
    return film.texture(RIGHT)


def texture_left(film: Film) -> float:
    """Fine contrast of the left lung (vessels, lines, bronchi), over the contrast of mediastinum and clearest lung."""
    return film.texture(LEFT)


def lung_contrast(film: Film) -> float:
    """Brightness of the mediastinum less that of the clearest lung, of the full range of the film."""
    clear, dense = film.levels
    return float(dense - clear)


_UNITS: dict[str, tuple[Callable[[Film], float], ...]] = {
    "1": (
        cardiothoracic_ratio,
        heart_right_share,
        heart_left_share,
        upper_mediastinum_share,
        midline_offset,
        lung_share_right,
        seen_share_right,
        seen_share_left,
        inspiratory_height,
        diaphragm_step,
        diaphragm_flatness,
        opacity_right_upper,
        opacity_right_middle,
        opacity_right_lower,
        opacity_left_upper,
        opacity_left_middle,
        opacity_left_lower,
        opacity_mean,
        opacity_asymmetry,
        opacity_slope,
        texture_right,
        texture_left,
        lung_contrast,
    ),
    "deg": (costophrenic_angle_right, costophrenic_angle_left),
}
MEASUREMENTS = tuple(Measurement(unit, take) for unit, takers in _UNITS.items() for take in takers)
NAMES = tuple(one.name for one in MEASUREMENTS)


def measure(image: Array, parameters: ChestParameters | None = None) -> Reading:
    """Measure a frontal radiograph (H, W) or (H, W, 3) in [0, 1], dense tissue bright.

    Raises:
        OslerError: `input-range` where the image is outside [0, 1].
    """
    return measured(segment(image, parameters))


def measured(found: Chest | NoLungs) -> Reading:
    """Measure what was found."""
    if isinstance(found, NoLungs):
        return Reading.nothing(MEASUREMENTS, found.reason)
    film = Film(found)
    if film.thorax <= 0 or (found.lungs.sum(axis=(1, 2)) < LEAST).any():
        return Reading.nothing(MEASUREMENTS, "the lungs do not lie side by side")
    height, width = found.image.shape
    top, bottom, left, right = film.box
    if top <= 1 and left <= 1 and bottom >= height - 1 and right >= width - 1:
        return Reading.nothing(MEASUREMENTS, "the outline of the lungs runs to the frame on every side")
    values = np.array([one.take(film) for one in MEASUREMENTS])
    return Reading(values, MEASUREMENTS, reasons={name: _why(name) for name in np.array(NAMES)[np.isnan(values)]})


def _why(name: str) -> str:
    """Return why something is not measured of lungs that were found."""
    if name.startswith(("opacity", "texture", "lung_contrast")):
        return "the mediastinum is not brighter than the lungs, or a zone is too small"
    if name.startswith("costophrenic"):
        return "the outline of the lung has no corner there"
    return "the inner edges of the lungs are not seen side by side"


RULE_SET = RuleSet(
    name="lungs and heart of a frontal chest radiograph",
    version=VERSION,
    measurements=MEASUREMENTS,
    parameters=ChestParameters,
    measure=measure,
    golden=golden_chest,
    channels="grey",
)
