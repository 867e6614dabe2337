"""Named measurements of one white cell, each with its unit and how it is taken; what cannot be measured is NaN.

All are taken in the frame of the cell: the image is resampled so that the cell's disc of equal area is `DIAMETER` pixels
wide, which makes textures of two magnifications comparable. Colours are optical densities after the glass was brought to
white, relative to those of the cell's own nucleus: stronger stain and longer exposure move both. Lengths are shares, so
nothing but the two diameters depends on the magnification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import convex_hull_image, disk, h_maxima
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler.morphometry.golden import golden_cell
from osler.morphometry.rules import Measurement, Reading, RuleSet
from osler.morphometry.smear import NotFound, SmearCell, SmearParameters, optical_density, segment

VERSION = 2  # Raised whenever a measurement is taken differently: the digest of the encoder covers it.
DIAMETER = 64
MARGIN = 6
LEAST_CYTOPLASM = 40  # Pixels of the frame below which cytoplasm has no colour of its own.
LEAST_DENSITY = 0.05  # Optical density that a nucleus is taken to have at least, where something is divided by it.
FAINT = 0.03  # Added to densities before a ratio: what glass that is not quite clean has.
GREEN, RED, BLUE = 1, 0, 2


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
    def density(self) -> Array:
        """Optical density of red, green and blue (h, w, 3)."""
        return optical_density(self.image)

    def detail(self, inside: BoolArray) -> Array:
        """Green density of what is about one to five pixels wide, of the pixels (n,) inside a part, by that part alone.

        The difference of blurs of 0.8 and 3 pixels; what lies outside has no weight, or every edge would be a texture.
        """
        green = np.where(inside, self.density[..., GREEN], 0.0)
        fine, coarse = (
            ndimage.gaussian_filter(green, width)[inside] / ndimage.gaussian_filter(inside * 1.0, width)[inside]
            for width in (0.8, 3.0)
        )
        return np.asarray(fine - coarse)

    @cached_property
    def chromatin(self) -> BoolArray:
        """Nucleus without its blurred edge; all of it where it is too thin to have more than edge."""
        inside = ndimage.binary_erosion(self.nucleus, disk(2))
        return np.asarray(inside if inside.sum() > 30 else self.nucleus)

    @cached_property
    def cytoplasm(self) -> BoolArray:
        """Cytoplasm without the blurred edges to nucleus and glass."""
        inside = ndimage.binary_erosion(self.cell, disk(2)) & ~ndimage.binary_dilation(self.nucleus, iterations=2)
        return np.asarray(inside)

    @cached_property
    def has_cytoplasm(self) -> bool:
        """Whether there is enough of it to speak of its colour."""
        return bool(self.cytoplasm.sum() >= LEAST_CYTOPLASM)

    @cached_property
    def nucleus_colour(self) -> Array:
        """Median density of each colour in the chromatin (3,)."""
        return np.asarray(np.median(self.density[self.chromatin], axis=0))

    @cached_property
    def cytoplasm_colour(self) -> Array:
        """Median density of each colour in the cytoplasm (3,), NaN where there is too little of it."""
        if not self.has_cytoplasm:
            return np.full(3, np.nan)
        return np.asarray(np.median(self.density[self.cytoplasm], axis=0))

    @cached_property
    def nucleus_green(self) -> float:
        """Median green density of the chromatin, by which contrasts are divided."""
        return max(float(self.nucleus_colour[GREEN]), LEAST_DENSITY)

    @cached_property
    def nucleus_radius(self) -> float:
        """Radius of the disc of the nucleus's area, in pixels of the frame."""
        return float(np.sqrt(self.nucleus.sum() / np.pi))

    @cached_property
    def nucleus_depth(self) -> Array:
        """Distance of each pixel of the nucleus to its edge, with a border of one pixel."""
        return np.asarray(ndimage.distance_transform_edt(np.pad(self.nucleus, 1)))

    @cached_property
    def nucleus_hull(self) -> BoolArray:
        """Convex hull of the nucleus."""
        return np.asarray(convex_hull_image(self.nucleus))


def nucleus_diameter(cell: Framed) -> float:
    """Diameter of the disc that has the nucleus's area, in pixels of the image as it was given."""
    return float(2 * cell.nucleus_radius * cell.pixels)


def cell_diameter(cell: Framed) -> float:
    """Diameter of the disc that has the cell's area, in pixels of the image as it was given."""
    return float(2 * np.sqrt(cell.cell.sum() / np.pi) * cell.pixels)


def nuclear_cytoplasmic_ratio(cell: Framed) -> float:
    """Area of the nucleus over the area of the whole cell; 1 where no cytoplasm is seen."""
    return float(cell.nucleus.sum() / cell.cell.sum())


def nucleus_solidity(cell: Framed) -> float:
    """Area of the nucleus over the area of its convex hull."""
    return float(cell.nucleus.sum() / cell.nucleus_hull.sum())


def nucleus_eccentricity(cell: Framed) -> float:
    """Eccentricity of the ellipse with the second moments of the nucleus: 0 for a disc."""
    properties: Any = regionprops(cell.nucleus.astype(np.uint8))[0]
    return float(properties.eccentricity)


def nucleus_width(cell: Framed) -> float:
    """Radius of the largest disc inside the nucleus over the radius of the disc of its area: low for bands and lobes."""
    return float(cell.nucleus_depth.max() / cell.nucleus_radius)


def nucleus_spread(cell: Framed) -> float:
    """Root mean square distance of the nucleus's pixels to its centre, over that of the disc of its area: 1 for a disc."""
    rows, columns = np.nonzero(cell.nucleus)
    return float(np.sqrt(2 * (rows.var() + columns.var())) / cell.nucleus_radius)


def nucleus_indentation(cell: Framed) -> float:
    """Depth of the deepest point of the nucleus's hull outside it, over the radius of the disc of its area."""
    off = np.asarray(ndimage.distance_transform_edt(~cell.nucleus))
    return float((off * cell.nucleus_hull).max() / cell.nucleus_radius)


def nucleus_lobes(cell: Framed) -> float:
    """Count of maxima of the distance to the nucleus's edge that stand out by 0.08 of the radius of its disc."""
    # Flat tops at half pixels are joined: they are one summit of a digital distance.
    smooth = ndimage.gaussian_filter(cell.nucleus_depth, 1.0)
    return float(label(h_maxima(smooth, 0.08 * cell.nucleus_radius)).max())


def chromatin_texture(cell: Framed) -> float:
    """Natural logarithm of the standard deviation of fine green density in the chromatin over its median density."""
    return _log_share(cell.detail(cell.chromatin).std(), cell.nucleus_green)


def cytoplasm_density(cell: Framed) -> float:
    """Natural logarithm of the optical density of the cytoplasm over that of the nucleus, all colours together."""
    return float(np.log((cell.cytoplasm_colour.sum() + 0.05) / (cell.nucleus_colour.sum() + 0.05)))


def cytoplasm_redness(cell: Framed) -> float:
    """Natural logarithm of the density of green over that of red in the cytoplasm, less the same of the nucleus."""
    return _balance(cell, GREEN)


def cytoplasm_yellowness(cell: Framed) -> float:
    """Natural logarithm of the density of blue over that of red in the cytoplasm, less the same of the nucleus."""
    return _balance(cell, BLUE)


def granularity(cell: Framed) -> float:
    """Natural logarithm of the standard deviation of fine green density in the cytoplasm over the nucleus's density."""
    return _log_share(cell.detail(cell.cytoplasm).std(), cell.nucleus_green) if cell.has_cytoplasm else float("nan")


def granule_redness(cell: Framed) -> float:
    """90th percentile, over the cytoplasm, of the density of green less that of red, over the nucleus's green density."""
    if not cell.has_cytoplasm:
        return float("nan")
    green, red = (cell.density[..., colour][cell.cytoplasm] for colour in (GREEN, RED))
    return float(np.quantile(green - red, 0.9) / cell.nucleus_green)


def vacuolation(cell: Framed) -> float:
    """How much lighter than around the lightest 2 % of the cytoplasm are in fine green density, over the nucleus's density."""
    return (
        float(-np.quantile(cell.detail(cell.cytoplasm), 0.02) / cell.nucleus_green)
        if cell.has_cytoplasm
        else float("nan")
    )


def _balance(cell: Framed, colour: int) -> float:
    ratios = [
        np.log((one[colour] + FAINT) / (one[RED] + FAINT)) for one in (cell.cytoplasm_colour, cell.nucleus_colour)
    ]
    return float(ratios[0] - ratios[1])


def _log_share(deviation: float, density: float) -> float:
    return float(np.log(deviation / density + 0.01))


_UNITS: dict[str, tuple[Callable[[Framed], float], ...]] = {
    "{pixels}": (nucleus_diameter, cell_diameter),
    "1": (
        nuclear_cytoplasmic_ratio,
        nucleus_solidity,
        nucleus_eccentricity,
        nucleus_width,
        nucleus_spread,
        nucleus_indentation,
        chromatin_texture,
        cytoplasm_density,
        cytoplasm_redness,
        cytoplasm_yellowness,
        granularity,
        granule_redness,
        vacuolation,
    ),
    "{counts}": (nucleus_lobes,),
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
