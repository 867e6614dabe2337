"""Named measurements of one white cell, each with its unit and how it is taken; what cannot be measured is NaN.

All are taken in the frame of the cell: the image is resampled so that the cell's disc of equal area is `DIAMETER` pixels
wide, which makes textures of two magnifications comparable. Colours are CIELAB (CIE 1976, D65) after the glass was brought
to white. Lengths are shares, so nothing but the two diameters depends on the magnification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.feature import graycomatrix, graycoprops
from skimage.filters import gaussian
from skimage.measure import label, perimeter, regionprops
from skimage.morphology import convex_hull_image, disk, erosion, h_maxima, white_tophat
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler.morphometry.golden import golden_cell
from osler.morphometry.rules import Measurement, Reading, RuleSet
from osler.morphometry.smear import NotFound, SmearCell, SmearParameters, segment

VERSION = 1  # Raised whenever a measurement is taken differently: the digest of the encoder covers it.
DIAMETER = 64
MARGIN = 6
LEAST_CYTOPLASM = 40  # Pixels of the frame below which cytoplasm has no colour of its own.
LEVELS = 16
COLOURED = 8.0  # Chroma below which a pixel has no hue.
RED_HUES, BLUE_HUES, PURPLE_HUES = (-40.0, 75.0), (230.0, 295.0), (295.0, 320.0)


@dataclass(frozen=True, eq=False)
class Framed:
    """A cell in its own frame.

    Attributes:
        image: Image (h, w, 3) in [0, 1], glass white.
        nucleus: Nucleus (h, w).
        cell: Cell (h, w).
        pixels: Pixels of the image as it was given per pixel of the frame.
    """

    image: Array
    nucleus: BoolArray
    cell: BoolArray
    pixels: float

    @classmethod
    def of(cls, found: SmearCell) -> Framed:
        """Cut the cell out with a margin of glass and bring it to the frame's size."""
        factor = DIAMETER / (2 * np.sqrt(found.cell.sum() / np.pi))
        margin = int(np.ceil(MARGIN / factor))
        padded = [np.pad(part, margin) for part in (found.nucleus, found.cell)]
        image = np.pad(found.image, ((margin, margin), (margin, margin), (0, 0)), constant_values=1.0)
        rows, columns = (np.flatnonzero(padded[1].any(axis=axis)) for axis in (1, 0))
        window = tuple(slice(side[0] - margin, side[-1] + 1 + margin) for side in (rows, columns))
        shape = tuple(max(1, round((side.stop - side.start) * factor)) for side in window)
        nucleus, cell = (
            resize(part[window].astype(float), shape, order=1, anti_aliasing=factor < 1) for part in padded
        )
        frame = np.clip(resize(image[window], (*shape, 3), order=1, anti_aliasing=factor < 1), 0, 1)
        return cls(frame, nucleus > 0.5, (cell > 0.5) | (nucleus > 0.5), 1 / (factor * found.scale))

    @cached_property
    def lab(self) -> Array:
        """CIELAB (h, w, 3)."""
        return np.asarray(rgb2lab(self.image))

    @cached_property
    def cytoplasm(self) -> BoolArray:
        """Cytoplasm without the blurred edges to nucleus and glass."""
        inside = erosion(self.cell, disk(2)) & ~ndimage.binary_dilation(self.nucleus, iterations=2)
        return np.asarray(inside)

    @cached_property
    def has_cytoplasm(self) -> bool:
        """Whether there is enough of it to speak of its colour."""
        return bool(self.cytoplasm.sum() >= LEAST_CYTOPLASM)

    @cached_property
    def detail(self) -> Array:
        """What is finer than about three pixels, of the lightness (h, w), in L* units."""
        return np.asarray(self.lab[..., 0] - gaussian(self.lab[..., 0], 1.5))

    def hue_share(self, low: float, high: float) -> float:
        """Share of the cytoplasm whose hue angle in CIELAB lies in [low, high) degrees and is no grey."""
        if not self.has_cytoplasm:
            return float("nan")
        a, b = self.lab[self.cytoplasm][:, 1:].T
        turned = (np.degrees(np.arctan2(b, a)) - low) % 360
        return float(((np.hypot(a, b) >= COLOURED) & (turned < high - low)).mean())


def _properties(mask: BoolArray) -> object:
    return regionprops(mask.astype(np.uint8))[0]


def nucleus_diameter(cell: Framed) -> float:
    """Diameter of the disc that has the nucleus's area, in pixels of the image as it was given."""
    return float(2 * np.sqrt(cell.nucleus.sum() / np.pi) * cell.pixels)


def cell_diameter(cell: Framed) -> float:
    """Diameter of the disc that has the cell's area, in pixels of the image as it was given."""
    return float(2 * np.sqrt(cell.cell.sum() / np.pi) * cell.pixels)


def nuclear_cytoplasmic_ratio(cell: Framed) -> float:
    """Area of the nucleus over the area of the whole cell; 1 where no cytoplasm is seen."""
    return float(cell.nucleus.sum() / cell.cell.sum())


def nucleus_solidity(cell: Framed) -> float:
    """Area of the nucleus over the area of its convex hull."""
    return float(cell.nucleus.sum() / convex_hull_image(cell.nucleus).sum())


def nucleus_eccentricity(cell: Framed) -> float:
    """Eccentricity of the ellipse with the second moments of the nucleus: 0 for a disc."""
    return float(_properties(cell.nucleus).eccentricity)  # type: ignore[attr-defined]


def nucleus_lobes(cell: Framed) -> float:
    """Count of maxima of the distance to the nucleus's edge that stand out by a tenth of the radius of its disc."""
    depth = ndimage.distance_transform_edt(np.pad(cell.nucleus, 1))
    radius = np.sqrt(cell.nucleus.sum() / np.pi)
    # Flat tops at half pixels are joined: they are one summit of a digital distance.
    return float(label(h_maxima(gaussian(depth, 1.0), 0.1 * radius)).max())


def nucleus_parts(cell: Framed) -> float:
    """Count of separate parts of the nucleus."""
    return float(label(cell.nucleus).max())


def nucleus_roundness(cell: Framed) -> float:
    """4 pi area / perimeter squared of the nucleus, the perimeter by Benkrid and Crookes (2000): 1 for a disc."""
    return _roundness(cell.nucleus)


def nucleus_roughness(cell: Framed) -> float:
    """Perimeter of the nucleus over the perimeter of its convex hull: 1 for a convex outline."""
    return float(perimeter(cell.nucleus) / max(perimeter(convex_hull_image(cell.nucleus)), 1.0))


def nucleus_width(cell: Framed) -> float:
    """Radius of the largest disc inside the nucleus over the radius of the disc of its area: low for bands and lobes."""
    depth = ndimage.distance_transform_edt(np.pad(cell.nucleus, 1)).max()
    return float(depth / np.sqrt(cell.nucleus.sum() / np.pi))


def nucleus_offset(cell: Framed) -> float:
    """Distance between the centres of area of nucleus and cell, over the radius of the disc of the cell's area."""
    centres = [np.array(ndimage.center_of_mass(mask)) for mask in (cell.nucleus, cell.cell)]
    return float(np.linalg.norm(centres[0] - centres[1]) / np.sqrt(cell.cell.sum() / np.pi))


def cell_roundness(cell: Framed) -> float:
    """4 pi area / perimeter squared of the cell: 1 for a disc."""
    return _roundness(cell.cell)


def cell_solidity(cell: Framed) -> float:
    """Area of the cell over the area of its convex hull."""
    return float(cell.cell.sum() / convex_hull_image(cell.cell).sum())


def chromatin_lightness(cell: Framed) -> float:
    """Mean L* of the nucleus."""
    return float(cell.lab[cell.nucleus][:, 0].mean())


def chromatin_red_green(cell: Framed) -> float:
    """Mean a* of the nucleus."""
    return float(cell.lab[cell.nucleus][:, 1].mean())


def chromatin_yellow_blue(cell: Framed) -> float:
    """Mean b* of the nucleus."""
    return float(cell.lab[cell.nucleus][:, 2].mean())


def chromatin_deviation(cell: Framed) -> float:
    """Standard deviation of L* in the nucleus, two pixels inside its edge."""
    inside = erosion(cell.nucleus, disk(2))
    return float(cell.lab[inside][:, 0].std()) if inside.any() else float("nan")


def chromatin_homogeneity(cell: Framed) -> float:
    """Homogeneity of Haralick's co-occurrence of L* in the nucleus: 16 levels of 0 to 100, one pixel apart, 4 directions."""
    levels = np.where(cell.nucleus, 1 + np.clip(cell.lab[..., 0] / 100 * LEVELS, 0, LEVELS - 1).astype(int), 0)
    counts = graycomatrix(levels.astype(np.uint8), [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], LEVELS + 1)
    within = counts[1:, 1:].sum(axis=3, keepdims=True).astype(float)
    return float(graycoprops(within / max(within.sum(), 1.0), "homogeneity")[0, 0]) if within.sum() else float("nan")


def cytoplasm_lightness(cell: Framed) -> float:
    """Mean L* of the cytoplasm."""
    return _cytoplasm_mean(cell, 0)


def cytoplasm_red_green(cell: Framed) -> float:
    """Mean a* of the cytoplasm: positive towards red."""
    return _cytoplasm_mean(cell, 1)


def cytoplasm_yellow_blue(cell: Framed) -> float:
    """Mean b* of the cytoplasm: negative towards blue."""
    return _cytoplasm_mean(cell, 2)


def cytoplasm_deviation(cell: Framed) -> float:
    """Standard deviation of L* in the cytoplasm."""
    return float(cell.lab[cell.cytoplasm][:, 0].std()) if cell.has_cytoplasm else float("nan")


def granularity(cell: Framed) -> float:
    """Root mean square, over the cytoplasm, of the lightness less its Gaussian blur of 1.5 pixels."""
    return float(np.sqrt((cell.detail[cell.cytoplasm] ** 2).mean())) if cell.has_cytoplasm else float("nan")


def red_share(cell: Framed) -> float:
    """Share of the cytoplasm with a hue of -40 to 75 degrees in CIELAB (pink to orange) and a chroma of 8 or more."""
    return cell.hue_share(*RED_HUES)


def blue_share(cell: Framed) -> float:
    """Share of the cytoplasm with a hue of 230 to 295 degrees in CIELAB (blue) and a chroma of 8 or more."""
    return cell.hue_share(*BLUE_HUES)


def purple_share(cell: Framed) -> float:
    """Share of the cytoplasm with a hue of 295 to 320 degrees in CIELAB (purple) and a chroma of 8 or more."""
    return cell.hue_share(*PURPLE_HUES)


def vacuoles(cell: Framed) -> float:
    """Count of spots in the cytoplasm up to 9 pixels wide, 4 or more in area, and brighter than around by 8 L* or more."""
    if not cell.has_cytoplasm:
        return float("nan")
    spots = (white_tophat(cell.lab[..., 0], disk(5)) >= 8.0) & cell.cytoplasm
    return float(sum(one.area >= 4 for one in regionprops(label(spots))))


def _roundness(mask: BoolArray) -> float:
    return float(4 * np.pi * mask.sum() / max(perimeter(mask), 1.0) ** 2)


def _cytoplasm_mean(cell: Framed, channel: int) -> float:
    return float(cell.lab[cell.cytoplasm][:, channel].mean()) if cell.has_cytoplasm else float("nan")


_UNITS: dict[str, tuple[Callable[[Framed], float], ...]] = {
    "{pixels}": (nucleus_diameter, cell_diameter),
    "1": (
        nuclear_cytoplasmic_ratio,
        nucleus_solidity,
        nucleus_eccentricity,
        nucleus_roundness,
        nucleus_roughness,
        nucleus_width,
        nucleus_offset,
        cell_roundness,
        cell_solidity,
        chromatin_homogeneity,
        red_share,
        blue_share,
        purple_share,
    ),
    "{counts}": (nucleus_lobes, nucleus_parts, vacuoles),
    "{L*}": (chromatin_lightness, chromatin_deviation, cytoplasm_lightness, cytoplasm_deviation, granularity),
    "{a*}": (chromatin_red_green, cytoplasm_red_green),
    "{b*}": (chromatin_yellow_blue, cytoplasm_yellow_blue),
}
MEASUREMENTS = tuple(Measurement(unit, take) for unit, takers in _UNITS.items() for take in takers)
NAMES = tuple(one.name for one in MEASUREMENTS)


def measure(image: Array, parameters: SmearParameters | None = None) -> Reading:
    """Measure the white cell nearest to the centre of a smear image (H, W, 3) in [0, 1].

    Raises:
        OslerError: `input-range` where the image is grey or outside [0, 1].
    """
    found = segment(image, parameters)
    if isinstance(found, NotFound):
        return Reading.nothing(MEASUREMENTS, found.reason)
    framed = Framed.of(found)
    return Reading(np.array([one.take(framed) for one in MEASUREMENTS]), MEASUREMENTS)


RULE_SET = RuleSet(
    name="white cell of a stained smear",
    version=VERSION,
    measurements=MEASUREMENTS,
    parameters=SmearParameters,
    measure=measure,
    golden=golden_cell,
    channels="colour",
)
