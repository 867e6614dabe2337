"""Temperature on logits whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import softmax

from osler.calibrate.temperature import fit_temperature


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_known_scale(scale: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 1.5
    y = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    assert fit_temperature(scale * logits, y) == pytest.approx(scale, rel=0.03)


def test_a_split_without_errors_does_not_ask_for_certainty() -> None:
    logits = np.tile([[2.0, -2.0], [-2.0, 2.0]], (15, 1))
    y = np.tile([0, 1], 15)
    confidence = softmax(logits / fit_temperature(logits, y), axis=1).max()
    assert confidence == pytest.approx(16 / 17, abs=1e-3)  # (15 + 1) / (15 + 2), Platt's target


def test_another_optimiser_finds_the_same_temperature() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(300, 4)) * 4
    y = (logits / 2.5 + rng.gumbel(size=logits.shape)).argmax(1)
    counts = np.bincount(y, minlength=4)
    target = np.full((300, 4), 0.0)
    for row, k in enumerate(y):
        target[row] = 1 / (counts[k] + 4)
        target[row, k] = (counts[k] + 1) / (counts[k] + 4)

    def slope(inverse: float) -> float:
        """Return the derivative of the mean cross-entropy by 1 / T, which is convex in it."""
        p = np.exp(inverse * logits)
        return float(((p / p.sum(axis=1, keepdims=True) - target) * logits).sum(axis=1).mean())

    assert fit_temperature(logits, y) == pytest.approx(1 / brentq(slope, 0.05, 20.0), rel=1e-4)
