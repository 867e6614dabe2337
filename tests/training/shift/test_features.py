"""Features are the same bits whatever a cache held before."""

from __future__ import annotations

import numpy as np
import pytest

from osler.bottleneck.encoders.catalogue import open_encoder
from osler_training.shift.features import Steady


@pytest.mark.parametrize("sizes", [[1] * 9, [2, 1, 3, 3], [8, 1]])
def test_the_split_into_batches_changes_no_bit(sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.random((40, 40, 3)).astype(np.float32) for _ in range(9)]
    encoder = Steady(open_encoder("phantom_clip"))
    whole = encoder.encode(images).pooled
    ends = np.cumsum(sizes)
    parts = [encoder.encode(images[end - size : end]).pooled for size, end in zip(sizes, ends, strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
