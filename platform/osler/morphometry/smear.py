"""One white cell of a stained blood smear: its nucleus, its outline and the clear background, found without training.

Background is divided out first, so that every site's empty glass is white; the nucleus is what absorbs red and green light
most (Otsu 1979 on the optical density); the cell is what stands off the glass around the nucleus, parted from touching red
cells by a watershed on the distance to the glass. Nothing was tuned on masks: reference masks only score it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import convex_hull_image, disk, opening, remove_small_holes
from skimage.segmentation import watershed
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DENSITY = np.array([1.5, 0.5])  # Weights of the optical densities of red and green.
LIMIT = 8  # Pixels of a side below which nothing is looked for.


@dataclass(frozen=True)
class SmearParameters:
    """What the segmentation goes by; lengths are shares of the image's longer side or of the nucleus.

    Attributes:
        longest: Images are shrunk to this longer side in pixels; smaller ones stay as they are.
        glass_quantile: Quantile of the brightness around which the colour of the glass is taken.
        smallest_nucleus: Area of the smallest nucleus, as a share of the image.
        least_density: Least optical density (red and green together) by which a nucleus differs from the rest.
        link: A part of a nucleus lies off the next by at most this multiple of the radius of the disc of the first part.
        least_part: A part smaller than this share of the largest one is dirt or a platelet.
        least_contrast: Least distance of a cell's colour from the glass, in CIELAB units.
        neighbour: Another cell's centre lies at least this multiple of that radius off the hull.
    reach: A cell ends at this multiple of the radius of the nucleus's convex hull, counted from its centre.
    """

    longest: int = 256
    glass_quantile: float = 0.9
    smallest_nucleus: float = 0.004
    least_density: float = 0.25
    link: float = 1.0
    least_part: float = 0.08
    least_contrast: float = 5.0
    neighbour: float = 0.2
    reach: float = 2.8

    def to_record(self) -> dict[str, Any]:
        """Return what a digest covers."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SmearParameters:
        """Read what `to_record` wrote."""
        return cls(**record)


@dataclass(frozen=True)
class SmearCell:
    """A white cell and where its parts are.

    Attributes:
        image: Image (h, w, 3) in [0, 1] with the glass brought to white.
        nucleus: Nucleus (h, w).
        cell: The whole cell, nucleus included (h, w).
        scale: Pixels of `image` per pixel of the image that was given.
    """

    image: Array
    nucleus: BoolArray
    cell: BoolArray
    scale: float


@dataclass(frozen=True)
class NotFound:
    """No cell was found.

    Attributes:
        reason: Why, without any value of the file.
    """

    reason: str


def segment(image: Array, parameters: SmearParameters | None = None) -> SmearCell | NotFound:
    """Find the white cell nearest to the centre of a smear image.

    Args:
        image: Colour image (H, W, 3) in [0, 1].
        parameters: What the segmentation goes by.

    Raises:
        OslerError: `input-range` where the image is grey or outside [0, 1]: a stain is a colour, and a grey image has none.
    """
    parameters = parameters or SmearParameters()
    _require_colour(image)
    if min(image.shape[:2]) < LIMIT:
        return NotFound(f"the image is smaller than {LIMIT} pixels")
    scale = min(1.0, parameters.longest / max(image.shape[:2]))
    shape = tuple(max(LIMIT, round(side * scale)) for side in image.shape[:2])
    small = image if scale == 1.0 else resize(image, (*shape, 3), anti_aliasing=True)
    white = without_glass(np.asarray(small, np.float64), parameters.glass_quantile)
    nucleus = find_nucleus(white, parameters)
    if isinstance(nucleus, NotFound):
        return nucleus
    return SmearCell(white, nucleus, find_cell(white, nucleus, parameters), scale)


def without_glass(image: Array, quantile: float) -> Array:
    """Divide an image (h, w, 3) by the colour of its glass, the median of its brightest pixels; at most 1."""
    brightness = image.mean(axis=2)
    glass = np.median(image[brightness >= np.quantile(brightness, quantile)], axis=0)
    return np.asarray(np.clip(image / np.maximum(glass, 1 / 255), 0.0, 1.0))


def find_nucleus(image: Array, parameters: SmearParameters) -> BoolArray | NotFound:
    """Return the nucleus (h, w): one part or several close ones, where red and green are absorbed most."""
    # Azure and methylene blue, which stain nuclei, absorb red and green; eosin and haemoglobin hardly absorb red.
    density = gaussian(-np.log10(np.maximum(image[..., :2], 1 / 255)) @ DENSITY, 1.5)
    if np.ptp(density) < parameters.least_density:
        return NotFound("nothing absorbs light as a nucleus does")
    dark = density > threshold_otsu(density)
    if density[dark].mean() - density[~dark].mean() < parameters.least_density:
        return NotFound("nothing absorbs light as a nucleus does")
    side = max(image.shape[:2])
    dark = remove_small_holes(opening(dark, disk(max(1, side // 85))), max_size=max(4, side * side // 2000))
    nucleus = _nearest_group(label(dark), parameters)
    if nucleus.sum() < parameters.smallest_nucleus * nucleus.size:
        return NotFound("what absorbs light is too small for a nucleus")
    return nucleus


def find_cell(image: Array, nucleus: BoolArray, parameters: SmearParameters) -> BoolArray:
    """Return the cell (h, w) around a nucleus: what stands off the glass and is no red cell that touches it."""
    lab = rgb2lab(image)
    off = gaussian(np.sqrt(((lab - [100.0, 0.0, 0.0]) ** 2).sum(axis=2)), 1.0)
    hull = convex_hull_image(nucleus)
    radius = float(np.sqrt(hull.sum() / np.pi))
    near = ndimage.distance_transform_edt(~hull) <= (parameters.reach - 1) * radius
    # Pale middles of red cells are filled; glass that several cells enclose is not.
    solid = remove_small_holes((off > parameters.least_contrast) | hull, max_size=max(1, int(hull.sum()) // 5))
    depth = np.asarray(ndimage.distance_transform_edt(solid))
    # Maxima of the whole depth, not of a ring of it: on the ring's border anything is a maximum.
    peaks = peak_local_max(gaussian(depth, 1.0), min_distance=max(2, round(radius / 8)), exclude_border=False)
    off_hull = ndimage.distance_transform_edt(~hull)[tuple(peaks.T)]
    peaks = peaks[(off_hull >= parameters.neighbour * radius) & solid[tuple(peaks.T)]]
    markers = np.zeros(nucleus.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(2, 2 + len(peaks))
    markers[hull] = 1
    grown = (watershed(-depth, markers, mask=solid) == 1) & near
    smooth = opening(grown, disk(max(1, round(radius / 6)))) | hull
    parts = label(smooth)
    return np.asarray(ndimage.binary_fill_holes(np.isin(parts, np.unique(parts[hull]))))


def _nearest_group(parts: NDArray[np.int_], parameters: SmearParameters) -> BoolArray:
    """Return the parts that belong to the large group nearest to the centre; all false where there are none."""
    regions = regionprops(parts)
    if not regions:
        return np.zeros(parts.shape, np.bool_)
    centre, side = (np.array(parts.shape) - 1) / 2, max(parts.shape)
    pull = [one.area * np.exp(-np.sum((np.array(one.centroid) - centre) ** 2) / (side / 4) ** 2) for one in regions]
    first = regions[int(np.argmax(pull))]
    most = parameters.link * np.sqrt(first.area / np.pi)
    large = {one.label for one in regions if one.area >= parameters.least_part * first.area}
    kept, added = {first.label}, True
    while added:  # A lobe may hang on another lobe, not on the largest.
        apart = np.asarray(ndimage.distance_transform_edt(~np.isin(parts, list(kept))))
        reached = set(np.unique(parts[apart <= most]).tolist()) & large
        added = not reached <= kept
        kept |= reached
    return np.asarray(np.isin(parts, list(kept)))


def _require_colour(image: Array) -> None:
    in_range = image.size == 0 or bool(np.min(image) >= 0 and np.max(image) <= 1)
    if image.ndim != 3 or image.shape[2] != 3 or not in_range:
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} is no colour image in [0, 1]; a stained smear is measured by its colours.",
            "Read colour images with osler.dicom.pixels.read_image, or name another encoder.",
        )
