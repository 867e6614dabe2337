"""One white cell of a stained blood smear: its nucleus, its outline and the clear background, found without training.

Background is divided out first, so that every site's empty glass is white; the nucleus is what absorbs red and green light
most, by Otsu's threshold (1979) on the optical density, taken three times: in the middle of the image, around what was found,
and inside the cell, where it parts nucleus from dark cytoplasm. The outline is the closed path around the nucleus on which
the image changes most to the glass or to another cell (`osler.morphometry.outline`). Reference masks only score it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import convex_hull_image, disk, remove_small_holes
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler.morphometry.outline import OutlineParameters, outline
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DENSITY = np.array([1.5, 0.5])  # Weights of the optical densities of red and green.
LIMIT = 8  # Pixels of a side below which nothing is looked for.
DARKEST = 0.02  # Transmission below which noise is all there is.


@dataclass(frozen=True)
class SmearParameters:
    """What the segmentation goes by; lengths are shares of the image's longer side or of the nucleus.

    Attributes:
        longest: Images are shrunk to this longer side in pixels; smaller ones stay as they are.
        search: Nucleus and outline are sought in an image of this longer side at most.
        glass_quantile: Quantile of the brightness around which the colour of the glass is taken.
        middle: Radius of the disc in the middle of the image that the first threshold is taken in.
        smallest_nucleus: Area of the smallest nucleus, as a share of the image.
        least_density: Least optical density (red and green together) by which a nucleus differs from the rest.
        around: The second threshold is taken up to this multiple of the radius of the nucleus's disc off its hull.
        least_contrast: Share of its density by which a nucleus differs from dark cytoplasm at least, lest chromatin be split.
        link: A part of a nucleus lies off the next by at most this multiple of the radius of the disc of the first part,
            with no glass between them.
        least_part: A part smaller than this share of the largest one is dirt or a platelet.
        reach: A cell ends at this multiple of the radius of the nucleus's convex hull, counted from its centre.
    """

    longest: int = 256
    search: int = 128
    glass_quantile: float = 0.9
    middle: float = 0.45
    smallest_nucleus: float = 0.004
    least_density: float = 0.15
    around: float = 0.6
    least_contrast: float = 0.3
    link: float = 1.3
    least_part: float = 0.08
    reach: float = 2.6

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
    white = without_glass(_shrunk(np.asarray(image, np.float64), parameters.longest), parameters.glass_quantile)
    small = _shrunk(white, parameters.search)
    nucleus = find_nucleus(small, parameters)
    if isinstance(nucleus, NotFound):
        return nucleus
    cell = outline(small, nucleus, OutlineParameters(reach=parameters.reach))
    shape = white.shape[:2]
    return SmearCell(white, _enlarged(nucleus, shape), _enlarged(cell, shape), max(shape) / max(image.shape[:2]))


def without_glass(image: Array, quantile: float) -> Array:
    """Divide an image (h, w, 3) by the colour of its glass, the median of its brightest pixels; at most 1."""
    brightness = image.mean(axis=2)
    glass = np.median(image[brightness >= np.quantile(brightness, quantile)], axis=0)
    return np.asarray(np.clip(image / np.maximum(glass, 1 / 255), 0.0, 1.0))


def optical_density(image: Array) -> Array:
    """Return -log10 of the transmission of each colour (h, w, 3)."""
    return np.asarray(-np.log10(np.maximum(image, DARKEST)))


def find_nucleus(image: Array, parameters: SmearParameters) -> BoolArray | NotFound:
    """Return the nucleus (h, w): one part or several close ones, where red and green are absorbed most."""
    # Azure and methylene blue, which stain nuclei, absorb red and green; eosin and haemoglobin hardly absorb red.
    colours = optical_density(image)
    density = ndimage.gaussian_filter(colours[..., :2] @ DENSITY, 1.0)
    green = ndimage.gaussian_filter(colours[..., 1], 1.0)
    stained = green > max(0.04, 0.1 * float(np.quantile(green, 0.98)))
    middle = _middle(image.shape[:2], parameters.middle)
    if np.ptp(density[middle]) < parameters.least_density:
        return NotFound("nothing absorbs light as a nucleus does")
    nucleus = _darker(density, float(threshold_otsu(density[middle])), stained, parameters)
    for inside in (False, False, True):
        if not nucleus.any():
            break
        threshold = _local_threshold(density, nucleus, stained, parameters, inside=inside)
        closer = nucleus if threshold is None else _darker(density, threshold, stained, parameters)
        # Where the local threshold finds something else, the first find stands.
        if (closer & nucleus).sum() < 0.3 * min(closer.sum(), nucleus.sum()) or not closer.any():
            break
        nucleus = closer
    if nucleus.sum() < parameters.smallest_nucleus * nucleus.size:
        return NotFound("what absorbs light is too small for a nucleus")
    if density[nucleus].mean() - np.median(density[~nucleus]) < parameters.least_density:
        return NotFound("nothing absorbs light as a nucleus does")
    return nucleus


def _local_threshold(
    density: Array, nucleus: BoolArray, stained: BoolArray, parameters: SmearParameters, *, inside: bool
) -> float | None:
    """Return Otsu's threshold around a nucleus; `inside` the cell alone, or None where there is nothing to part."""
    radius = np.sqrt(nucleus.sum() / np.pi)
    off = ndimage.distance_transform_edt(~convex_hull_image(nucleus))
    near = off <= max(3.0, parameters.around * radius)
    if not inside:
        return float(threshold_otsu(density[near]))
    # Without the rim, whose blur is neither nucleus nor cytoplasm.
    near &= ndimage.binary_erosion(stained | nucleus, disk(2))
    values = density[near]
    if len(values) < 40:
        return None
    threshold = float(threshold_otsu(values))
    dark, light = values[values > threshold], values[values <= threshold]
    if len(dark) == 0 or len(light) < 0.06 * len(values):
        return None
    contrast = 1 - np.median(light) / np.median(dark)
    return threshold if contrast >= parameters.least_contrast else None


def _darker(density: Array, threshold: float, stained: BoolArray, parameters: SmearParameters) -> BoolArray:
    side = max(density.shape)
    dark = ndimage.binary_opening(density > threshold, disk(1))
    dark = remove_small_holes(dark, max_size=max(4, side * side // 2000))
    return _nearest_group(label(dark), stained, parameters)


def _nearest_group(parts: NDArray[np.int_], stained: BoolArray, parameters: SmearParameters) -> BoolArray:
    """Return the parts that belong to the large group nearest to the centre; all false where there are none."""
    regions = regionprops(parts)
    if not regions:
        return np.zeros(parts.shape, np.bool_)
    centre, side = (np.array(parts.shape) - 1) / 2, max(parts.shape)
    pull = [one.area * np.exp(-np.sum((np.array(one.centroid) - centre) ** 2) / (side / 4) ** 2) for one in regions]
    first = regions[int(np.argmax(pull))]
    most = parameters.link * np.sqrt(first.area / np.pi)
    group: BoolArray = parts == first.label
    others = [one for one in regions if one is not first and one.area >= parameters.least_part * first.area]
    added = True
    while added and others:  # A lobe may hang on another lobe, not on the largest.
        off, nearest = ndimage.distance_transform_edt(~group, return_indices=True)
        joined = [one for one in others if _hangs_on(one.coords, off, nearest, stained, most)]
        for one in joined:
            group[tuple(one.coords.T)] = True
        added = bool(joined)
        taken = {one.label for one in joined}
        others = [one for one in others if one.label not in taken]
    return group


def _hangs_on(
    part: NDArray[np.integer[Any]], off: Array, nearest: NDArray[np.integer[Any]], stained: BoolArray, most: float
) -> bool:
    """Return whether the pixels of a part (n, 2) come close to a group, with no glass on the line between."""
    distance = off[tuple(part.T)]
    closest = int(distance.argmin())
    if distance[closest] > most:
        return False
    here = part[closest]
    there = nearest[:, here[0], here[1]]
    steps = np.linspace(0, 1, max(2, int(distance[closest])))[:, None]
    line = np.round(here + (there - here) * steps).astype(int)
    return bool(stained[tuple(line.T)].all())


def _middle(shape: tuple[int, ...], radius: float) -> BoolArray:
    y, x = np.indices(shape[:2])
    off = (y - (shape[0] - 1) / 2) ** 2 + (x - (shape[1] - 1) / 2) ** 2
    inside: BoolArray = np.asarray(off) <= (radius * max(shape)) ** 2
    return inside


def _shrunk(image: Array, longest: int) -> Array:
    scale = longest / max(image.shape[:2])
    if scale >= 1.0:
        return image
    shape = tuple(max(LIMIT, round(side * scale)) for side in image.shape[:2])
    return np.asarray(resize(image, (*shape, 3), anti_aliasing=True))


def _enlarged(mask: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    if mask.shape == shape:
        return mask
    return np.asarray(resize(mask.astype(np.float32), shape, order=1) > 0.5)


def _require_colour(image: Array) -> None:
    in_range = image.size == 0 or bool(np.min(image) >= 0 and np.max(image) <= 1)
    if image.ndim != 3 or image.shape[2] != 3 or not in_range:
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} is no colour image in [0, 1]; a stained smear is measured by its colours.",
            "Read colour images with osler.dicom.pixels.read_image, or name another encoder.",
        )
