"""Temperature scaling, fitted on the calibrate split alone (methods, 19.6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from osler.bottleneck.records import Array

BOUNDS = (0.05, 20.0)


def fit_temperature(logits: Array, y: NDArray[np.intp]) -> float:
    """Return the temperature T that minimises the cross-entropy of `logits / T`, within [0.05, 20].

    The targets are smoothed as in Platt (1999), `(n_k + 1) / (n_k + K)` for the true class: without it a split that is
    classified without error would ask for T = 0 and certainty everywhere.

    Args:
        logits: Class logits (n, K).
        y: Class indices (n,).
    """
    target = platt_targets(y, logits.shape[1])

    def loss(log_t: float) -> float:
        return float(-(target * log_softmax(logits / np.exp(log_t), axis=1)).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded").x))


def platt_targets(y: NDArray[np.intp], classes: int) -> Array:
    """Return what is asked of each row (n, K): `(n_k + 1) / (n_k + K)` for its class, the rest shared evenly."""
    count = np.bincount(y, minlength=classes)[y]
    target = np.repeat(1 / (count + classes), classes).reshape(-1, classes)
    target[np.arange(len(y)), y] = (count + 1) / (count + classes)
    return target
