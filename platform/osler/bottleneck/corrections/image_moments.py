"""Pixels brought to the source's mean and deviation, of each channel in CIELAB (Reinhard et al. 2001) or of the grey value.

All images of a site move by the same map, so that what differs between two images of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from skimage.color import lab2rgb, rgb2lab

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array
from osler.bottleneck.shrinkage import (
    KAPPA,
    blend,
    nothing_to_measure,
    require_kappa,
    require_some,
    scale_between,
    trust,
)
from osler.bottleneck.site_images import LazyImages, channels, mapped, require_channels, sample

SIDE = {"moments": 64, "quantiles": 32}  # Pixels of a side that are looked at; quantiles hold those of all images.
LEVELS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ImageMoments:
    """Colour or grey matching by site.

    Attributes:
        transfer: `moments` matches mean and standard deviation; `quantiles` the whole distribution, by 101 quantiles.
        kappa: Number of images at which batch and source weigh the same; 0 trusts a batch of any size.
    """

    transfer: Literal["moments", "quantiles"] = "moments"
    kappa: float = KAPPA

    stage: ClassVar[Stage] = "image"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)

    def measure(self, batch: Sequence[Array], reference: Statistics | None = None) -> Statistics:
        """Return `mean` and `std`, or `quantiles`, of each channel (c,) or (c, 101), and `count`.

        Every image weighs the same. One without any contrast, such as an all-black one, is no look of the site and counts
        for nothing.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty, or all images are without contrast and there is no
                reference; `input-range` where some are grey and some in colour.
        """
        require_some(len(batch))
        side, looks, kind = SIDE[self.transfer], [], None if reference is None else _kind(reference)
        for image in batch:
            kind = kind or channels(image)
            require_channels(image, kind)
            pixels = _pixels(sample(image, side))
            if np.ptp(pixels, axis=1).max() > 0:
                looks.append(self._look(pixels))
        if not looks and reference is None:
            raise nothing_to_measure("All images are without contrast.")
        count = np.array(float(len(looks)))
        if not looks and reference is not None:
            return {**reference, "count": count}
        own = self._gather(looks)
        if reference is not None:
            weight = trust(len(looks), self.kappa)
            own = {key: blend(own[key], reference[key], weight) for key in own}
        return {**own, "count": count}

    def _look(self, pixels: Array) -> Array:
        if self.transfer == "quantiles":
            return pixels.astype(np.float32)
        return np.stack([pixels.mean(axis=1), (pixels**2).mean(axis=1)])

    def _gather(self, looks: list[Array]) -> Statistics:
        if self.transfer == "quantiles":
            return {"quantiles": np.quantile(np.concatenate(looks, axis=1), LEVELS, axis=1).T.astype(float)}
        mean, square = np.mean(looks, axis=0)
        return {"mean": mean, "std": np.sqrt(np.maximum(square - mean**2, 0.0))}

    def match(self, batch: Sequence[Array], own: Statistics, reference: Statistics) -> LazyImages:
        """Return the images with the reference's statistics, but for what leaves [0, 1] by it and is cut off.

        Raises:
            OslerError: `input-range` where images and reference are not of the same number of channels.
        """
        move = _by_quantiles(own, reference) if self.transfer == "quantiles" else _by_moments(own, reference)

        def change(image: Array) -> Array:
            require_channels(image, _kind(reference))
            moved = move(_pixels(image)).T.reshape(image.shape)
            return _rgb(moved) if image.ndim == 3 else np.clip(moved, 0.0, 1.0)

        return mapped(batch, change)


def _kind(statistics: Statistics) -> int:
    return len(statistics["quantiles" if "quantiles" in statistics else "mean"])


def _pixels(image: Array) -> Array:
    """Return the channels (c, n) of an image: CIELAB, or grey."""
    if image.ndim == 2:
        return np.asarray(image, float).reshape(1, -1)
    return np.asarray(rgb2lab(np.asarray(image, float))).reshape(-1, 3).T


def _rgb(lab: Array) -> Array:
    lab[..., 0] = np.clip(lab[..., 0], 0, 100)
    # Beyond it Z would be negative, which the library sets to zero too, with a warning for every image.
    lab[..., 2] = np.minimum(lab[..., 2], 200 * (lab[..., 0] + 16) / 116 - 1e-9)
    return np.asarray(np.clip(lab2rgb(lab), 0.0, 1.0))


def _by_moments(own: Statistics, reference: Statistics) -> Callable[[Array], Array]:
    scale = scale_between(own["std"], reference["std"])[:, None]
    return lambda x: (x - own["mean"][:, None]) * scale + reference["mean"][:, None]


def _by_quantiles(own: Statistics, reference: Statistics) -> Callable[[Array], Array]:
    """Move each value by what its quantile moves; beyond the ends, by what the ends move."""
    knots = []
    for mine, wanted in zip(own["quantiles"], reference["quantiles"], strict=True):
        value, place, ties = np.unique(mine, return_inverse=True, return_counts=True)
        # A value that many pixels have, such as a black border's, goes to the middle of what its quantiles go to.
        knots.append((value, np.bincount(place, wanted - mine) / ties))
    return lambda x: np.stack([row + np.interp(row, *knot) for row, knot in zip(x, knots, strict=True)])


CORRECTION = ImageMoments
