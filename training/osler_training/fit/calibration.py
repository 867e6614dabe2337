"""Temperature scaling, fitted on the calibrate split alone (methods, 19.6)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from osler.bottleneck.records import Array
from osler_training.evaluate.metrics import Labels

BOUNDS = (0.05, 20.0)


def fit_temperature(logits: Array, y: Labels) -> float:
    """Return the temperature T that minimises the cross-entropy of `logits / T`, within [0.05, 20].

    The targets are smoothed as in Platt (1999), `(n_k + 1) / (n_k + K)` for the true class: without it a split that is
    classified without error would ask for T = 0 and certainty everywhere.

    Args:
        logits: Class logits (n, K).
        y: Class indices (n,).
    """
    K = logits.shape[1]
    count = np.bincount(y, minlength=K)[y]
    target = np.repeat(1 / (count + K), K).reshape(-1, K)
    target[np.arange(len(y)), y] = (count + 1) / (count + K)

    def loss(log_t: float) -> float:
        return float(-(target * log_softmax(logits / np.exp(log_t), axis=1)).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded").x))
