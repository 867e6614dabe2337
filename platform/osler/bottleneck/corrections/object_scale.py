"""Images rescaled so that what they show is, in the median of the site, as large as at the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from skimage.transform import resize

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array, BoolArray
from osler.bottleneck.shrinkage import KAPPA, blend, nothing_to_measure, require_kappa, require_some, trust
from osler.bottleneck.site_images import LazyImages, channels, mapped, spread_out
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LARGEST_CHANGE = 4.0
LARGEST_SIDE = 4096


def white_cell(image: Array) -> BoolArray | None:
    """Return the white cell of a smear image."""
    from osler.morphometry.smear import NotFound, segment

    found = segment(image)
    return None if isinstance(found, NotFound) else found.cell


def white_cell_nucleus(image: Array) -> BoolArray | None:
    """Return the nucleus of the white cell of a smear image."""
    from osler.morphometry.smear import NotFound, segment

    found = segment(image)
    return None if isinstance(found, NotFound) else found.nucleus


def lesion(image: Array) -> BoolArray | None:
    """Return the lesion of a dermoscopic image."""
    from osler.morphometry.lesion import NoLesion, segment

    found = segment(image)
    return None if isinstance(found, NoLesion) else found.mask


# Each gives the object as a mask over the whole image, at any resolution, or None where it found nothing.
SEGMENTERS: dict[str, Callable[[Array], BoolArray | None]] = {
    "lesion": lesion,
    "white_cell": white_cell,
    "white_cell_nucleus": white_cell_nucleus,
}


@dataclass(frozen=True)
class ObjectScale:
    """Scale matching by the object.

    The diameter is that of the disc with the object's area. It is matched in pixels and, since encoders resize whatever they
    are given, as a share of the image too: an image is magnified about its middle, and the frame is cut, or filled with the
    image's mirror, so that its side changes as the median side of the two sites does. A mirror, since
    streaks of the border or a plain colour look like no image of the source, and cost an encoder more than the scale did.

    Attributes:
        segmenter: Name of what finds the object, one of `SEGMENTERS`.
        most: Most images of a batch that are segmented, evenly apart.
        kappa: Number of images at which batch and source weigh the same; 0 trusts a batch of any size.
    """

    segmenter: str = "white_cell_nucleus"
    most: int = 256
    kappa: float = KAPPA

    stage: ClassVar[Stage] = "image"
    version: ClassVar[int] = 2  # 1 filled frames with streaks of the border.

    def __post_init__(self) -> None:
        require_kappa(self.kappa)
        if self.segmenter not in SEGMENTERS or self.most < 1:
            raise OslerError(
                Code.USAGE,
                f"Nothing segments {self.segmenter!r}, or none of the images is to be segmented.",
                f"Use one of {', '.join(sorted(SEGMENTERS))}, and at least one image.",
            )

    def measure(self, batch: Sequence[Array], reference: Statistics | None = None) -> Statistics:
        """Return `diameter` of the object and `side` of the image, medians in pixels, and `count` of objects found.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty, or no object is found and there is no reference;
                `input-range` where the segmenter takes no such image.
        """
        require_some(len(batch))
        found = []
        for place in spread_out(len(batch), self.most):
            image = batch[place]
            channels(image)
            mask = SEGMENTERS[self.segmenter](image)
            if mask is not None and mask.any():
                side = _side(image)
                found.append((2 * np.sqrt(mask.mean() / np.pi) * side, side))
        count = np.array(float(len(found)))
        if not found:
            if reference is None:
                raise nothing_to_measure(f"No image shows what {self.segmenter!r} segments.")
            return {**reference, "count": count}
        middle = dict(zip(("diameter", "side"), np.median(found, axis=0), strict=True))
        if reference is not None:
            weight = trust(len(found), self.kappa)
            # On the scale of factors: twice as large is as far as half as large.
            middle = {name: np.exp(blend(np.log(middle[name]), np.log(reference[name]), weight)) for name in middle}
        return {**{name: np.asarray(value) for name, value in middle.items()}, "count": count}

    def match(self, batch: Sequence[Array], own: Statistics, reference: Statistics) -> LazyImages:
        """Return the images rescaled, at most fourfold either way."""
        zoom, frame = (
            float(np.clip(reference[name] / own[name], 1 / LARGEST_CHANGE, LARGEST_CHANGE))
            for name in ("diameter", "side")
        )
        return mapped(batch, lambda image: rescaled(image, zoom, frame))


def rescaled(image: Array, zoom: float, frame: float) -> Array:
    """Return an image magnified by `zoom` about its middle, in a frame whose sides are `frame` times its own."""
    channels(image)
    shape = tuple(min(LARGEST_SIDE, max(1, round(size * frame))) for size in image.shape[:2])
    # Only what the frame will show is resized.
    seen = tuple(min(size, max(1, round(wanted / zoom))) for size, wanted in zip(image.shape[:2], shape, strict=True))
    starts = tuple((size - part) // 2 for size, part in zip(image.shape[:2], seen, strict=True))
    inner = np.asarray(image, float)[starts[0] : starts[0] + seen[0], starts[1] : starts[1] + seen[1]]
    size = tuple(min(wanted, max(1, round(part * zoom))) for part, wanted in zip(seen, shape, strict=True))
    if size != seen:
        inner = resize(inner, (*size, *image.shape[2:]), order=1, anti_aliasing=zoom < 1)
    before = tuple((wanted - have) // 2 for wanted, have in zip(shape, size, strict=True))
    margins = [(first, wanted - have - first) for first, wanted, have in zip(before, shape, size, strict=True)]
    return np.asarray(np.clip(np.pad(inner, margins + [(0, 0)] * (image.ndim - 2), mode="symmetric"), 0.0, 1.0))


def _side(image: Array) -> float:
    return float(np.sqrt(image.shape[0] * image.shape[1]))


CORRECTION = ObjectScale
