"""A planted stain multiplies the densities of the dyes and nothing else, and its images are others in a cache."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skimage.color import hed2rgb, rgb2hed
from skimage.data import immunohistochemistry

from osler_training.datasets.images import COLUMNS, Images
from osler_training.datasets.stain import LEAST, restain, restained

TILE = immunohistochemistry()[:64, :64].astype(np.float32) / 255


def test_one_is_no_change():
    np.testing.assert_allclose(restain(TILE, (1.0, 1.0, 1.0)), np.maximum(TILE, LEAST), atol=1e-5)


@pytest.mark.parametrize("factors", [(0.5, 1.0, 1.0), (1.0, 0.6, 1.0), (0.8, 0.7, 0.9)])
def test_densities_are_multiplied(factors: tuple[float, float, float]):
    """Told by the library's own way from dyes to colours and back."""
    dyes = np.random.default_rng(0).uniform(0.01, 0.1, (32, 32, 3))
    np.testing.assert_allclose(rgb2hed(restain(hed2rgb(dyes), factors)), dyes * factors, atol=1e-4)


def test_images_of_another_stain_are_other_images():
    columns = {name: ["a"] for name in COLUMNS} | {"age": [1.0], "patient_known": [True]}
    images = Images(pd.DataFrame(columns), pd.DataFrame(index=[0]), pd.DataFrame(index=[0]), lambda _row: TILE)
    one, other = restained(images, (0.5, 1, 1)), restained(images, (0.6, 1, 1))
    assert len({images.keys[0], one.keys[0], other.keys[0]}) == 3
    np.testing.assert_array_equal(one.load(0), restain(TILE, (0.5, 1, 1)))
