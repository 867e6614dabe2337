"""Simulated laboratories: cells of one site with other stain, glass, blur, noise and magnification, to choose rules on.

Each image is taken apart into glass and optical density; a laboratory has its matrix from densities to densities, its glass,
its blur and its crop, and each image its own jitter about them. The densities and crops cover what plain images of other
laboratories look like; they are no copy of any, and nothing is fitted to a target.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from osler.bottleneck.feature_cache import image_key
from osler.bottleneck.records import Array

SEED, VERSION = 7, 1


@dataclass(frozen=True)
class Laboratory:
    """How a laboratory's images differ.

    Attributes:
        stain: Matrix (3, 3) from the densities of red, green and blue to its own.
        glass: Colour of its empty glass (3,); above 1 it is overexposed.
        blur: Standard deviation of its blur, in pixels.
        crop: Share of the image's sides that is kept.
        side: Side of its images in pixels, where they are cropped.
    """

    stain: tuple[tuple[float, float, float], ...]
    glass: tuple[float, float, float]
    blur: float
    crop: float = 1.0
    side: int = 0


LABORATORIES = {
    "warm": Laboratory(((0.7, 0.05, 0.0), (0.1, 1.1, 0.1), (0.15, 0.2, 0.9)), (1.0, 0.99, 0.6), 1.6, 0.55, 120),
    "white": Laboratory(((0.6, 0.1, 0.0), (0.0, 0.85, 0.0), (0.0, 0.0, 0.6)), (1.08, 1.08, 1.08), 1.6, 0.55, 120),
    "stain": Laboratory(((0.9, 0.1, -0.05), (0.05, 1.15, 0.1), (0.0, 0.15, 1.1)), (0.93, 0.85, 0.85), 0.6),
    "zoom": Laboratory(((1.25, -0.1, 0.0), (0.0, 0.9, 0.0), (0.05, 0.0, 0.8)), (0.97, 0.9, 0.8), 0.5, 0.7, 256),
    "dull": Laboratory(((0.6, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, 0.0, 0.6)), (0.85, 0.8, 0.8), 1.2),
}


@dataclass(frozen=True)
class Simulated:
    """Images of a site as a laboratory would have made them; two laboratories where two are named, three to one."""

    keys_of: Sequence[str]
    load_of: Callable[[int], Array]
    laboratories: tuple[str, ...]

    def __post_init__(self) -> None:
        if not set(self.laboratories) <= set(LABORATORIES) or len(self.laboratories) not in (1, 2):
            raise ValueError(f"no laboratories {self.laboratories}")

    def of(self, number: int) -> str:
        """Return the laboratory of an image."""
        return self.laboratories[-1 if self._draw(number, "which").random() < 0.25 else 0]

    @property
    def keys(self) -> tuple[str, ...]:
        """Key of each image in a feature cache."""
        return tuple(
            image_key(key, {"laboratory": self.of(number), "version": VERSION, "seed": SEED})
            for number, key in enumerate(self.keys_of)
        )

    def load(self, number: int) -> Array:
        """Return an image (H, W, 3) in [0, 1] as the laboratory has it."""
        name = self.of(number)
        return simulate(self.load_of(number), LABORATORIES[name], self._draw(number, name))

    def _draw(self, number: int, what: str) -> np.random.Generator:
        return np.random.default_rng([SEED, *what.encode(), *self.keys_of[number].encode()])


def simulate(image: Array, laboratory: Laboratory, rng: np.random.Generator) -> Array:
    """Return an image (H, W, 3) in [0, 1] as a laboratory would have made it."""
    brightness = image.mean(axis=2)
    glass = np.median(image[brightness >= np.quantile(brightness, 0.9)], axis=0)
    density = -np.log10(np.clip(image / glass, 0.01, 1.2))
    gain = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.06, 3))
    own_glass = np.array(laboratory.glass) * np.exp(rng.normal(0, 0.015, 3))
    seen = np.clip(own_glass * 10 ** -(density @ np.array(laboratory.stain).T * gain), 0, 1)
    blur = laboratory.blur * np.exp(rng.normal(0, 0.2))
    seen = ndimage.gaussian_filter(seen, (blur, blur, 0)) + rng.normal(0, 0.012, seen.shape)
    picture = Image.fromarray(np.round(np.clip(seen, 0, 1) * 255).astype(np.uint8))
    if laboratory.side:
        share = min(1.0, laboratory.crop * np.exp(rng.normal(0, 0.07)))
        width, height = (side * (1 - share) / 2 for side in picture.size)
        box = (round(width), round(height), round(picture.width - width), round(picture.height - height))
        picture = picture.crop(box).resize((laboratory.side, laboratory.side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file), np.float32) / 255
