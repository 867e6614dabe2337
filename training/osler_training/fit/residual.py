"""The residual of PCBM-h: what features say beyond a frozen head of concepts (M3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from osler.bottleneck.records import Array

SOLVER: Any = {
    "method": "L-BFGS-B",
    "options": {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-13, "gtol": 1e-8, "maxcor": 30},
}


def fit_residual(x: Array, y: NDArray[np.intp], frozen: Array, strength: float) -> tuple[Array, Array]:
    """Return weights (K, D) and bias (K,) that minimise `CE(frozen + Rx + r, y) + strength mean(R^2)`.

    Args:
        x: Features as the head will see them (n, D).
        y: Class indices (n,).
        frozen: Logits of the head that stays as it is (n, K).
        strength: Weight of the penalty.
    """
    K, D = frozen.shape[1], x.shape[1]
    x, member = np.asarray(x, float), np.eye(K)[y]

    def loss(flat: Array) -> tuple[float, Array]:
        R, r = flat[: K * D].reshape(K, D), flat[K * D :]
        logp = log_softmax(frozen + x @ R.T + r, axis=1)
        d_logits = (np.exp(logp) - member) / len(x)
        value = -(member * logp).sum() / len(x) + strength * (R**2).mean()
        return float(value), np.concatenate([(d_logits.T @ x + 2 * strength / R.size * R).ravel(), d_logits.sum(0)])

    flat = minimize(loss, np.zeros(K * D + K), jac=True, **SOLVER).x
    return flat[: K * D].reshape(K, D), flat[K * D :]


def choose_residual(
    train: tuple[Array, NDArray[np.intp], Array],
    select: tuple[Array, NDArray[np.intp], Array],
    strengths: Sequence[float],
) -> tuple[Array, Array, float]:
    """Return the residual, and its strength, with the lowest cross-entropy on studies that choose.

    Args:
        train: Features, classes and frozen logits to fit on.
        select: The same to choose on.
        strengths: Penalties to choose from.
    """
    x, y, frozen = select
    fits = [(*fit_residual(*train, strength), strength) for strength in strengths]
    losses = [-log_softmax(frozen + x @ R.T + r, axis=1)[np.arange(len(y)), y].mean() for R, r, _ in fits]
    return fits[int(np.argmin(losses))]
