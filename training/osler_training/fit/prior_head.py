"""The linear head with a parameter prior (M1.4), fitted by a deterministic full-batch solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# |u| is smoothed to sqrt(u^2 + e) - sqrt(e), so that the solver has a gradient everywhere; each e starts from the optimum of
# the one before, since the sharpest alone makes slow steps.
SMOOTHING = (1e-2, 1e-4, 1e-6, 1e-8)
SOLVER = {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 30}


@dataclass(frozen=True)
class HeadRule:
    """How a head is fitted.

    Attributes:
        strength: Weight of the prior, the lambda of M1.4; 0 fits without one.
        unknown: What an unknown link (None in the bank) means: `free` leaves its weight to the data, `pull` draws it to
            zero as the paper does. A link that is known to say nothing (0 in the bank) is drawn to zero either way.
        C: Inverse strength of an L2 penalty `||W||^2 / (2 n C)` on the K rows, the bias spared. It keeps the optimum finite
            where the classes are separable, and replaces the paper's early stopping.
    """

    strength: float = 1.0
    unknown: Literal["free", "pull"] = "free"
    C: float = 1.0


@dataclass(frozen=True)
class FittedHead:
    """Weights (K, C), bias (K,), and the loss that was reached."""

    W: Array
    b: Array
    loss: float


def fit_head(
    a: Array,
    y: NDArray[np.intp],
    prior: Sequence[Sequence[int | None]],
    rule: HeadRule | None = None,
) -> FittedHead:
    """Minimise `CE(Wa + b, y) + lambda/(K C) sum |tanh(W) - P| + ||W||^2 / (2 n C_l2)`.

    Concept values stay probabilities, as in the paper: neither centred nor scaled, so that a weight means the same for
    every concept.

    Args:
        a: Concept values (n, C).
        y: Class indices (n,), each class present.
        prior: Signs (K, C) in {-1, 0, 1}, or None for unknown.
        rule: How.

    Raises:
        OslerError: `usage` where a class has no example.
    """
    rule = rule or HeadRule()
    P, known = prior_arrays(prior, rule.unknown)
    K, C = P.shape
    if missing := sorted(set(range(K)) - set(y.tolist())):
        raise OslerError(Code.USAGE, f"Classes {missing} have no example to fit on.", "Give examples of every class.")
    x = np.asarray(a, dtype=float)
    member = np.eye(K)[y]
    penalty = rule.strength / (K * C) * known

    def loss(flat: Array, smoothing: float) -> tuple[float, Array]:
        W, b = flat[: K * C].reshape(K, C), flat[K * C :]
        logp = log_softmax(x @ W.T + b, axis=1)
        d_logits = (np.exp(logp) - member) / len(x)
        t = np.tanh(W)
        distance = np.sqrt((t - P) ** 2 + smoothing)
        value = -(member * logp).sum() / len(x)
        value += (penalty * (distance - np.sqrt(smoothing))).sum() + (W**2).sum() / (2 * len(x) * rule.C)
        d_W = d_logits.T @ x + penalty * (t - P) / distance * (1 - t**2) + W / (len(x) * rule.C)
        return value, np.concatenate([d_W.ravel(), d_logits.sum(0)])

    flat, reached = np.zeros(K * C + K), 0.0
    for smoothing in SMOOTHING if rule.strength else SMOOTHING[-1:]:
        result = minimize(loss, flat, args=(smoothing,), jac=True, method="L-BFGS-B", options=SOLVER)
        flat, reached = result.x, float(result.fun)
    b = flat[K * C :]
    return FittedHead(flat[: K * C].reshape(K, C), b - b.mean(), reached)


def prior_arrays(
    prior: Sequence[Sequence[int | None]], unknown: Literal["free", "pull"]
) -> tuple[Array, BoolArray]:
    """Return the signs (K, C), 0 where unknown, and which entries the prior pulls (K, C)."""
    known = np.array([[value is not None for value in row] for row in prior], dtype=bool)
    P = np.array([[float(value or 0) for value in row] for row in prior])
    return P, known if unknown == "free" else np.ones_like(known)
