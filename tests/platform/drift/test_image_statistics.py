"""Figures of images whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, stats

from osler.drift.image_statistics import displayed_statistics, stored_statistics
from osler_contracts.drift.fields import IMAGE_FIELDS


def test_a_ramp_has_the_figures_of_a_uniform_distribution() -> None:
    found = displayed_statistics(np.tile(np.linspace(0, 1, 1024, dtype=np.float32), (512, 1)))
    assert found["image_mean"] == pytest.approx(0.5, abs=1e-3)
    assert found["image_sd"] == pytest.approx(1 / math.sqrt(12), abs=1e-3)
    assert found["image_p05"] == pytest.approx(0.05, abs=2e-3)
    assert found["image_p95"] == pytest.approx(0.95, abs=2e-3)
    assert found["image_entropy"] == pytest.approx(8.0, abs=0.01)
    assert found["image_aspect"] == 2.0
    assert found["image_edges"] == pytest.approx(1 / 255, rel=0.02)  # 256 pixels wide once shrunk
    assert found["image_fine"] < 0.01


@pytest.mark.parametrize(("value", "black", "white"), [(0.0, 1.0, 0.0), (1.0, 0.0, 1.0), (0.5, 0.0, 0.0)])
def test_a_flat_image_is_empty(value: float, black: float, white: float) -> None:
    found = displayed_statistics(np.full((40, 60), value, dtype=np.float32))
    assert (found["image_black"], found["image_white"]) == (black, white)
    assert found["image_sd"] == found["image_entropy"] == found["image_edges"] == found["image_fine"] == 0.0
    assert found["image_border"] == (1.0 if value == 0 else 0.0)


def test_entropy_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).beta(2, 5, (64, 64)).astype(np.float32)
    counts, _ = np.histogram(values, bins=256, range=(0, 1))
    assert displayed_statistics(values)["image_entropy"] == pytest.approx(stats.entropy(counts, base=2), abs=0.01)


def test_noise_is_fine_detail_and_blur_is_not() -> None:
    noise = np.random.default_rng(1).uniform(size=(256, 256)).astype(np.float32)
    sharp, blurred = (displayed_statistics(values) for values in (noise, ndimage.gaussian_filter(noise, 4)))
    # White noise fills the square of frequencies evenly; the disc of half the finest frequency is pi / 16 of it.
    assert sharp["image_fine"] == pytest.approx(1 - math.pi / 16, abs=0.03)
    assert blurred["image_fine"] < 0.01
    assert blurred["image_edges"] < sharp["image_edges"] / 5


def test_a_collimated_border_is_seen_and_a_dark_middle_is_not() -> None:
    field = np.full((100, 100), 0.7, dtype=np.float32)
    field[40:60, 40:60] = 0
    assert displayed_statistics(field)["image_border"] == 0.0
    field[:, :6] = 0
    assert displayed_statistics(field)["image_border"] == pytest.approx(600 / (10000 - 88 * 88), abs=1e-6)


def test_stored_values_are_shares_of_the_detectors_range() -> None:
    ramp = np.arange(4096, dtype=np.uint16)
    assert stored_statistics(ramp, 12, False) == pytest.approx(
        {"stored_low": 0.01, "stored_middle": 0.5, "stored_high": 0.99}, abs=1e-3
    )
    signed = stored_statistics(ramp.astype(np.int16) - 2048, 12, True)
    assert signed == pytest.approx(stored_statistics(ramp, 12, False))


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        arrays.arrays(
            np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1, width=32)
        ),
        arrays.arrays(
            np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)), elements=st.floats(0, 1, width=32)
        ),
    )
)
def test_every_image_has_finite_figures(values: np.ndarray) -> None:
    found = displayed_statistics(values)
    assert set(found) < set(IMAGE_FIELDS)
    assert all(math.isfinite(one) for one in found.values())
    assert all(
        0 <= found[name] <= 1 + 1e-6 for name in found if name not in ("image_aspect", "image_entropy", "image_edges")
    )
