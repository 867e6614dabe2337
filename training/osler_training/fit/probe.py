"""Logistic regression on frozen features: the probes that a bottleneck is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.records import Array
from osler_training.evaluate.metrics import Labels
from osler_training.fit.calibration import fit_temperature
from osler_training.fit.problem import Cohort


@dataclass(frozen=True)
class Probe:
    """A linear classifier of pooled features; a fitted method.

    Attributes:
        W: Weights (K, D) on the raw features.
        b: Bias (K,).
        temperature: What logits are divided by.
        chosen: What was chosen on the select split.
    """

    W: Array
    b: Array
    temperature: float
    chosen: dict[str, Any]

    def logits(self, x: Array) -> Array:
        """Return class logits (n, K) before the temperature."""
        return x @ self.W.T + self.b

    def probabilities(self, cohort: Cohort) -> Array:
        """Return calibrated class probabilities (n, K)."""
        return np.asarray(softmax(self.logits(cohort.features.pooled) / self.temperature, axis=1))

    def record(self) -> dict[str, Any]:
        """Return what was chosen."""
        return {"temperature": self.temperature, **self.chosen}


def fit_probe(x: Array, y: Labels, select: Cohort, calibrate: Cohort, Cs: Sequence[float]) -> Probe:
    """Fit probes of several strengths, keep the one with the lowest cross-entropy on `select`, calibrate it.

    Features are standardised for the fit (sigma below 1e-6 counts as 1) and the scale is folded into the weights.
    """
    scaler = StandardScaler().fit(x)
    scale = np.where(scaler.scale_ < 1e-6, 1.0, scaler.scale_)
    best: tuple[float, float, Array, Array] | None = None
    for C in Cs:
        model = LogisticRegression(C=C, max_iter=5000).fit((x - scaler.mean_) / scale, y)
        W, b = _two_rows(model)
        W = W / scale
        b = b - W @ scaler.mean_
        logits = select.features.pooled @ W.T + b
        loss = float(-np.log(softmax(logits, axis=1)[np.arange(len(select)), select.y] + 1e-12).mean())
        if best is None or loss < best[0]:
            best = (loss, C, W, b)
    if best is None:
        raise ValueError("Give at least one strength C")
    loss, C, W, b = best
    temperature = fit_temperature(calibrate.features.pooled @ W.T + b, calibrate.y)
    return Probe(W, b, temperature, {"C": C, "select_cross_entropy": loss, "examples": len(y)})


def _two_rows(model: LogisticRegression) -> tuple[Array, Array]:
    """Expand the one row of a binary fit to two logits, `[-w/2, +w/2]` (house rule 2)."""
    W, b = model.coef_, model.intercept_
    return (W, b) if len(W) > 1 else (np.vstack([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2]))
