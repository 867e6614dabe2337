"""A planted stain: images of a smear as they would look with more or less of each dye, so that a cause of shift is known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from osler.bottleneck.feature_cache import image_key
from osler.bottleneck.records import Array
from osler_training.datasets.images import Images

LEAST = 1e-3  # of light that passes: black has no finite density
Factors = tuple[float, float, float]


def restained(images: Images, factors: Factors) -> Images:
    """Return the images with the densities of haematoxylin, eosin and of what remains multiplied by `factors`."""
    named = {"stain": list(factors)}
    table = images.table.assign(key=[image_key(key, named) for key in images.table["key"]])
    return replace(images, table=table, load=partial(_load, images, factors))


def restain(image: Array, factors: Factors) -> Array:
    """Return an image (H, W, 3) in [0, 1] with other densities of dye, taken apart as by Ruifrok and Johnston (2001).

    Negative densities of a dye stay: cut off at zero, as libraries have it, they would change an image that is not restained.
    """
    from skimage.color import hed_from_rgb, rgb_from_hed

    densities = -np.log(np.maximum(image, LEAST)) @ hed_from_rgb
    return np.asarray(np.clip(np.exp(-(densities * np.array(factors)) @ rgb_from_hed), 0, 1), np.float32)


def _load(images: Images, factors: Factors, row: int) -> Array:
    return restain(images.load(row), factors)
