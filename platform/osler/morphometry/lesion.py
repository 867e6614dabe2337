"""One lesion of a dermoscopic image: hair, dark corners and uneven light taken away, then what differs from the skin.

Skin is what is pale; its colour is fitted as a surface of second order, because lamps and a round field of view shade it.
The lesion is where the colour lies off that surface (Otsu 1979 on the distance in CIELAB, where only darker counts).
Nothing was tuned on masks: reference masks only score it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops
from skimage.measure._regionprops import RegionProperties
from skimage.morphology import closing, disk, opening, remove_small_holes, remove_small_objects
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LIMIT = 24  # Pixels of a side below which nothing is looked for.


@dataclass(frozen=True)
class LesionParameters:
    """What the segmentation goes by; lengths are shares of the image's longer side.

    Attributes:
        longest: Images are shrunk to this longer side in pixels; smaller ones stay as they are.
        blur: Deviation of the Gaussian that colours are blurred with.
        hair: Radius of the disc that closes hairs.
        hair_contrast: What closes by this share of white or more is a hair, if it is long.
        hair_length: Length from which a dark line is a hair.
        corner: Share of the lightness of the middle below which the corners are outside the field of view.
        least_contrast: Least distance between the colours of lesion and skin, in CIELAB units.
        smallest: Smallest area of a lesion, as a share of the field of view.
        link: A part lies off the next by at most this length.
        least_part: A part smaller than this share of the largest one is none.
    """

    longest: int = 256
    blur: float = 0.008
    hair: float = 0.02
    hair_contrast: float = 0.06
    hair_length: float = 0.12
    corner: float = 0.55
    least_contrast: float = 6.0
    smallest: float = 0.003
    link: float = 0.04
    least_part: float = 0.1

    def to_record(self) -> dict[str, Any]:
        """Return what a digest covers."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LesionParameters:
        """Read what `to_record` wrote."""
        return cls(**record)


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion and what lies around it.

    Attributes:
        image: Image (h, w, 3) in [0, 1].
        mask: The lesion (h, w).
        field: Where the field of view is (h, w).
        hair: Hairs (h, w), which no colour is measured on.
        skin: Colour of the skin fitted under every pixel, CIELAB (h, w, 3).
    """

    image: Array
    mask: BoolArray
    field: BoolArray
    hair: BoolArray
    skin: Array


@dataclass(frozen=True)
class NoLesion:
    """No lesion was found.

    Attributes:
        reason: Why, without any value of the file.
    """

    reason: str


def segment(image: Array, parameters: LesionParameters | None = None) -> Lesion | NoLesion:
    """Find the lesion nearest to the centre of a dermoscopic image.

    Args:
        image: Colour image (H, W, 3) in [0, 1].
        parameters: What the segmentation goes by.

    Raises:
        OslerError: `input-range` where the image is grey or outside [0, 1]: what is measured of a lesion is its colours.
    """
    parameters = parameters or LesionParameters()
    _require_colour(image)
    if min(image.shape[:2]) < LIMIT:
        return NoLesion(f"the image is smaller than {LIMIT} pixels")
    scale = min(1.0, parameters.longest / max(image.shape[:2]))
    shape = tuple(max(LIMIT, round(side * scale)) for side in image.shape[:2])
    small = np.asarray(image if scale == 1.0 else resize(image, (*shape, 3), anti_aliasing=True), np.float64)
    field, hair = field_of_view(small, parameters), find_hair(small, parameters)
    blur = parameters.blur * max(small.shape[:2])
    lab = rgb2lab(gaussian(without_hair(small, hair), blur, channel_axis=2))
    distance, skin = off_skin(lab, field)
    dark = field & (distance > _otsu(distance[field]))
    if not dark.any() or distance[dark].mean() - distance[field & ~dark].mean() < parameters.least_contrast:
        return NoLesion("nothing differs from the skin as a lesion does")
    mask = _smooth(_nearest_group(dark, parameters), parameters) & field
    if mask.sum() < parameters.smallest * field.sum():
        return NoLesion("what differs from the skin is too small for a lesion")
    return Lesion(small, mask, field, hair, skin)


def field_of_view(image: Array, parameters: LesionParameters) -> BoolArray:
    """Return where an image (h, w, 3) shows anything: without corners that a round lens leaves dark."""
    height, width = image.shape[:2]
    lightness = gaussian(rgb2lab(image)[..., 0], 0.01 * max(height, width))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    middle = np.quantile(lightness[np.hypot(x, y) < 0.7], 0.75)
    # A lens leaves what is far out dark; a lesion that touches the border is not far out everywhere.
    dark = label((lightness < parameters.corner * middle) & (np.hypot(x, y) > 0.85))
    corners = {int(dark[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    outside = np.isin(dark, list(corners))
    if not outside.any():
        return np.ones((height, width), np.bool_)
    margin = max(2, round(0.025 * max(height, width)))
    return np.asarray(~ndimage.binary_dilation(outside, disk(margin)))


def find_hair(image: Array, parameters: LesionParameters) -> BoolArray:
    """Return dark long lines (h, w): what a closing fills, as DullRazor (Lee et al. 1997) finds hairs."""
    side = max(image.shape[:2])
    grey = image.mean(axis=2)
    lines = closing(grey, disk(max(2, round(parameters.hair * side)))) - grey > parameters.hair_contrast
    # What has too few pixels cannot be long: most parts go before anything dearer is asked of them.
    parts = label(
        remove_small_objects(lines, max_size=round(parameters.hair_length * side), connectivity=2), connectivity=2
    )
    long = [
        one.label for one in regionprops(parts) if _is_line(one, parameters.hair_length * side, parameters.hair * side)
    ]
    return np.asarray(ndimage.binary_dilation(np.isin(parts, long)))


def _is_line(part: RegionProperties, length: float, width: float) -> bool:
    """Return whether a part is long, and thin or, where hairs cross, sparse."""
    long, broad = part.axis_major_length, max(part.axis_minor_length, 2.0)
    return bool(long >= length and (part.area <= width * long or part.area <= 0.3 * long * broad))


def without_hair(image: Array, hair: BoolArray) -> Array:
    """Return an image (h, w, 3) whose hairs have the colour of the nearest pixel that is none."""
    if not hair.any() or hair.all():
        return image
    nearest = ndimage.distance_transform_edt(hair, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def off_skin(lab: Array, field: BoolArray) -> tuple[Array, Array]:
    """Return how far colours lie off the skin's (h, w), and the skin's colour under every pixel (h, w, 3), in CIELAB.

    The skin is what is pale, at first; then what lies near the surface of second order that was fitted to it.
    """
    pale = lab[..., 0] - 0.5 * np.hypot(lab[..., 1], lab[..., 2])
    skin = field & (pale >= threshold_otsu(pale[field])) if np.ptp(pale[field]) else field
    surface = np.broadcast_to(np.median(lab[skin], axis=0), lab.shape)
    for _ in range(2):
        distance = _distance(lab, surface)
        near = field & (distance <= _otsu(distance[field]))
        surface = _surface(lab, near)
    return _distance(lab, surface), surface


def _distance(lab: Array, skin: Array) -> Array:
    off = lab - skin
    off[..., 0] = np.minimum(off[..., 0], 0.0)  # Gel and scales shine; they are no lesion.
    return np.asarray(np.sqrt((off**2).sum(axis=2)))


def _surface(lab: Array, among: BoolArray) -> Array:
    """Fit each channel by least squares over some pixels, its slopes held down, and return it everywhere."""
    y, x = np.mgrid[-1 : 1 : lab.shape[0] * 1j, -1 : 1 : lab.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    inside = terms[among]
    penalty = 0.05 * len(inside) * np.diag([0.0, 0.2, 0.2, 1.0, 1.0, 1.0])
    weights = np.linalg.solve(inside.T @ inside + penalty, inside.T @ lab[among])
    return np.asarray(terms @ weights)


def _otsu(values: Array) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) else float(values.max(initial=0.0))


def _nearest_group(dark: BoolArray, parameters: LesionParameters) -> BoolArray:
    """Return the large part nearest to the centre, with the parts that hang on it."""
    side = max(dark.shape)
    parts = label(opening(dark, disk(max(1, side // 100))))
    regions = regionprops(parts)
    if not regions:
        return np.zeros(dark.shape, np.bool_)
    centre = (np.array(dark.shape) - 1) / 2
    pull = [one.area * np.exp(-np.sum((np.array(one.centroid) - centre) ** 2) / (side / 4) ** 2) for one in regions]
    first = regions[int(np.argmax(pull))]
    large = {one.label for one in regions if one.area >= parameters.least_part * first.area}
    kept, added = {first.label}, True
    while added:
        apart = np.asarray(ndimage.distance_transform_edt(~np.isin(parts, list(kept))))
        reached = set(np.unique(parts[apart <= parameters.link * side]).tolist()) & large
        added = not reached <= kept
        kept |= reached
    return np.asarray(np.isin(parts, list(kept)))


def _smooth(mask: BoolArray, parameters: LesionParameters) -> BoolArray:
    """Close gaps between parts, fill holes, and round off what is finer than the segmentation knows."""
    side = max(mask.shape)
    radius = max(1, round(parameters.link * side / 2))
    padded = np.pad(mask, radius, mode="edge")  # A lesion that the frame cuts goes on beyond it.
    closed = closing(padded, disk(radius))[radius:-radius, radius:-radius]
    filled = remove_small_holes(closed, max_size=max(4, int(mask.sum()) // 2))
    rounded: NDArray[np.bool_] = opening(filled, disk(max(1, side // 100)))
    return rounded


def _require_colour(image: Array) -> None:
    in_range = image.size == 0 or bool(np.min(image) >= 0 and np.max(image) <= 1)
    if image.ndim != 3 or image.shape[2] != 3 or not in_range:
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} is no colour image in [0, 1]; a lesion is measured by its colours.",
            "Read colour images with osler.dicom.pixels.read_image, or name another encoder.",
        )
