"""Two stains brought to the source's colours and strengths (Macenko et al. 2009), for one site at once.

Light is absorbed by stains in proportion to their amount (Beer and Lambert), so the optical density of a pixel is a sum of
two stain vectors, weighted by concentrations. The vectors are the outer directions of the densities in their plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array
from osler.bottleneck.shrinkage import KAPPA, blend, nothing_to_measure, require_kappa, require_some, trust
from osler.bottleneck.site_images import LazyImages, mapped, require_channels, sample
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SIDE = 64  # Pixels of a side of each image that are looked at.
LEAST_STAINED = 16  # Stained pixels without which an image says nothing.
DARKEST = 1 / 510  # Half a step of eight bits: the light behind which a density is not known.
GLASS = 0.9  # Quantile of the brightness around which the colour of the glass is taken.
FIXED_WHITE = 240 / 255  # The light without a stain, as the paper has it.
LEAST_ANGLE = np.radians(2.0)  # Between two directions that are two stains.


@dataclass(frozen=True)
class StainMatching:
    """Stain normalisation.

    Attributes:
        white: Whether the light without a stain is `measured` on the clear parts of each image, channel by channel, or
            `fixed` at 240 of 255 as in the paper.
        least_density: Mean optical density of the channels from which a pixel is stained, the paper's beta of 0.15. The
            mean, since the eosin of red cells leaves red light nearly as it is.
        tail: Share of the pixels beyond each outer direction, in percent, and above the strongest concentration.
        kappa: Number of images at which batch and source weigh the same; 0 trusts a batch of any size.
    """

    white: Literal["measured", "fixed"] = "measured"
    least_density: float = 0.15
    tail: float = 1.0
    kappa: float = KAPPA

    stage: ClassVar[Stage] = "image"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)
        if not (0 < self.tail < 50 and 0 < self.least_density < 3):
            raise OslerError(
                Code.USAGE,
                "A tail or a density is out of range.",
                "Give a tail in (0, 50) percent, a density in (0, 3).",
            )

    def measure(self, batch: Sequence[Array], reference: Statistics | None = None) -> Statistics:
        """Return `stains` (2, 3) of unit length, `strength` (2,), `white` (3,) and `count`.

        The first stain of the source is the one that absorbs more of the red light, as haematoxylin does beside eosin;
        that of a site is the one that is more like the first of the source, since other pairs of stains, against other
        glass, may have it the other way round. Each image gives pixels of the same grid; images that are hardly stained, or
        black, count for nothing.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty, or shows no two stains and there is no reference;
                `input-range` where an image is grey.
        """
        require_some(len(batch))
        whites, densities = [], []
        for image in batch:
            require_channels(image, 3)
            pixels = sample(image, SIDE).reshape(-1, 3)
            white = self._white(pixels)
            density = _density(pixels, white)
            stained = density[density.mean(axis=1) >= self.least_density]
            if len(stained) >= LEAST_STAINED and np.ptp(pixels) > 0:
                whites.append(white)
                densities.append(stained)
        stains = two_stains(np.concatenate(densities), self.tail) if densities else None
        if stains is None:
            if reference is None:
                raise nothing_to_measure("The images show no two stains.")
            return {**reference, "count": np.array(0.0)}
        if reference is not None:
            stains = _as_in(reference["stains"], stains)
        amounts = _amounts(np.concatenate(densities), stains)[:, :2]
        strength = np.maximum(np.percentile(amounts, 100 - self.tail, axis=0), DARKEST)
        white = np.mean(whites, axis=0)
        if reference is not None:
            weight = trust(len(whites), self.kappa)
            stains = _unit(blend(stains, reference["stains"], weight))
            strength = np.exp(blend(np.log(strength), np.log(reference["strength"]), weight))
            white = blend(white, reference["white"], weight)
        return {"stains": stains, "strength": strength, "white": white, "count": np.array(float(len(whites)))}

    def _white(self, pixels: Array) -> Array:
        if self.white == "fixed":
            return np.full(3, FIXED_WHITE)
        brightness = pixels.mean(axis=1)
        return np.asarray(np.maximum(np.median(pixels[brightness >= np.quantile(brightness, GLASS)], axis=0), DARKEST))

    def match(self, batch: Sequence[Array], own: Statistics, reference: Statistics) -> LazyImages:
        """Return the images as the source would have stained and lit them; what two stains do not explain stays as it is.

        Raises:
            OslerError: `input-range` where an image is grey.
        """
        factor = np.append(reference["strength"] / own["strength"], 1.0)

        def change(image: Array) -> Array:
            require_channels(image, 3)
            amounts = _amounts(_density(np.asarray(image, float).reshape(-1, 3), own["white"]), own["stains"])
            light = reference["white"] * 10 ** -((amounts * factor) @ _basis(reference["stains"]))
            return np.asarray(np.clip(light, 0.0, 1.0)).reshape(image.shape)

        return mapped(batch, change)


def two_stains(density: Array, tail: float) -> Array | None:
    """Return the two stains (2, 3) of optical densities (n, 3), the one that absorbs more red first; None for fewer.

    Args:
        density: Optical densities of stained pixels.
        tail: Share of the pixels beyond each outer direction, in percent.
    """
    # The plane of the stains goes through no density at all, so nothing is centred.
    _, vectors = np.linalg.eigh(density.T @ density)
    plane = vectors[:, :0:-1] * np.where(vectors[:, :0:-1].sum(axis=0) < 0, -1.0, 1.0)
    angles = np.arctan2(*(density @ plane).T[::-1])
    low, high = np.percentile(angles, [tail, 100 - tail])
    if high - low < LEAST_ANGLE:
        return None
    stains = np.maximum(np.array([[np.cos(angle), np.sin(angle)] for angle in (low, high)]) @ plane.T, 0.0)
    stains = _unit(stains)
    return stains if stains[0, 0] >= stains[1, 0] else stains[::-1].copy()


def _as_in(reference: Array, stains: Array) -> Array:
    alike = reference @ stains.T
    return stains if np.trace(alike) >= np.trace(alike[::-1]) else stains[::-1].copy()


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _density(pixels: Array, white: Array) -> Array:
    return np.asarray(-np.log10(np.maximum(pixels, DARKEST) / white))


def _basis(stains: Array) -> Array:
    """Return the stains and what is at right angles to both, by rows (3, 3)."""
    return np.vstack([stains, _unit(np.cross(stains[0], stains[1])[None])])


def _amounts(density: Array, stains: Array) -> Array:
    return np.asarray(density @ np.linalg.inv(_basis(stains)))


CORRECTION = StainMatching
