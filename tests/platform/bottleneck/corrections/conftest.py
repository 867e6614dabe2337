"""Batches of every stage, drawn by seed: smears of one cell, features, probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from skimage.draw import disk

from osler.bottleneck.records import Features


def _cell(draw: np.random.Generator, side: int = 72) -> np.ndarray:
    """Draw a nucleus in a cell between red cells on glass, with two stains (H, W, 3)."""
    azure, eosin = np.array([0.9, 0.4, 0.15]), np.array([0.1, 0.8, 0.5])
    amounts = np.zeros((side, side, 2))
    middle = side / 2 + draw.uniform(-2, 2, 2)
    radius = side / 5 * draw.uniform(0.85, 1.15)
    for corner in ((6, 8), (side - 8, 12), (10, side - 9)):
        amounts[(*disk(corner, side / 9, shape=amounts.shape[:2]), 1)] = 0.4
    amounts[disk(middle, radius * 1.5, shape=amounts.shape[:2])] = (0.12, 0.2)
    amounts[disk(middle, radius, shape=amounts.shape[:2])] = (0.8, 0.1)
    amounts *= draw.uniform(0.85, 1.15, amounts.shape)
    light = np.array([0.95, 0.93, 0.9]) * 10 ** -(amounts @ np.stack([azure, eosin]))
    return np.asarray(np.clip(light + draw.normal(0, 0.004, light.shape), 0.02, 0.98))


def _smears(seed: int, count: int = 4) -> list[np.ndarray]:
    """Draw smears; those of another seed are of another size, light and contrast."""
    draw = np.random.default_rng(seed)
    side, light = int(draw.integers(64, 90)), draw.uniform(0.8, 1.0, 3)
    return [_cell(draw, side) * light for _ in range(count)]


def _batch(stage: str, seed: int) -> Any:
    """Draw a batch of a stage."""
    draw = np.random.default_rng(seed)
    if stage == "image":
        return _smears(seed)
    if stage == "feature":
        return Features(draw.normal(size=(30, 4)) @ draw.normal(size=(4, 4)) + draw.normal(size=4))
    return draw.dirichlet(draw.uniform(0.3, 2, 3), size=30)


@pytest.fixture(scope="session")
def draw_images() -> Callable[..., list[np.ndarray]]:
    """Return a maker of smears by seed and count."""
    return _smears


@pytest.fixture(scope="session")
def draw_batch() -> Callable[[str, int], Any]:
    """Return a maker of batches by stage and seed."""
    return _batch
