"""Logistic regression on frozen features: the probes that a bottleneck is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.records import Array
from osler.calibrate.temperature import fit_temperature
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import Labels
from osler_training.fit.problem import Cohort


@dataclass(frozen=True)
class Probe:
    """A linear classifier of pooled features; a fitted method.

    Attributes:
        W: Weights (K, D) on the raw features.
        b: Bias (K,).
        temperature: What logits are divided by.
        chosen: What was chosen on the select split.
        fill: What a missing feature is taken for (D,): its mean on the training split, which speaks for no class.
    """

    W: Array
    b: Array
    temperature: float
    chosen: dict[str, Any]
    fill: Array

    def logits(self, x: Array) -> Array:
        """Return class logits (n, K) before the temperature, of features (n, D) that may be NaN."""
        return np.where(np.isnan(x), self.fill, x) @ self.W.T + self.b

    def probabilities(self, cohort: Cohort) -> Array:
        """Return calibrated class probabilities (n, K)."""
        return np.asarray(softmax(self.logits(cohort.features.pooled) / self.temperature, axis=1))

    def record(self) -> dict[str, Any]:
        """Return what was chosen."""
        return {"temperature": self.temperature, **self.chosen}


def fit_probe(x: Array, y: Labels, select: Cohort, calibrate: Cohort, Cs: Sequence[float]) -> Probe:
    """Fit probes of several strengths, keep the one with the lowest cross-entropy on `select`, calibrate it.

    Features are standardised for the fit (sigma below 1e-6 counts as 1) and the scale is folded into the weights. One that is
    missing (NaN) counts as its mean over those of `x` that are not, and as 0 where none is there.
    """
    there = ~np.isnan(x)
    fill = np.where(there, x, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    x = np.where(there, x, fill)
    scaler = StandardScaler().fit(x)
    scale = np.where(scaler.scale_ < 1e-6, 1.0, scaler.scale_)
    best: tuple[float, Probe] | None = None
    for C in Cs:
        model = LogisticRegression(C=C, max_iter=5000).fit((x - scaler.mean_) / scale, y)
        W, b = _two_rows(model)
        W = W / scale
        probe = Probe(W, b - W @ scaler.mean_, 1.0, {"C": C, "examples": len(y)}, fill)
        logp = log_softmax(probe.logits(select.features.pooled), axis=1)
        loss = float(-logp[np.arange(len(select)), select.y].mean())
        if best is None or loss < best[0]:
            best = (loss, probe)
    if best is None:
        raise OslerError(Code.USAGE, "The probe has no strength to choose from.", "Give at least one under `Cs`.")
    loss, probe = best
    temperature = fit_temperature(probe.logits(calibrate.features.pooled), calibrate.y)
    return replace(probe, temperature=temperature, chosen={**probe.chosen, "select_cross_entropy": loss})


def _two_rows(model: LogisticRegression) -> tuple[Array, Array]:
    """Expand the one row of a binary fit to two logits, `[-w/2, +w/2]` (house rule 2)."""
    W, b = model.coef_, model.intercept_
    return (W, b) if len(W) > 1 else (np.vstack([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2]))
