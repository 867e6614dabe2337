"""The linear head with a parameter prior (M1.4), fitted by a deterministic full-batch solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

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
SOLVER: Any = {
    "method": "L-BFGS-B",
    "options": {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 30},
}


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
class PlainHeadRule(HeadRule):
    """How a head is fitted that knows the labels alone, whatever else a recipe says of it."""

    strength: float = 0.0


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
    task = _Task(x, np.eye(K)[y], P, rule.strength / (K * C) * known, rule.C)
    flat, reached = np.zeros(K * C + K), 0.0
    for smoothing in SMOOTHING if rule.strength else SMOOTHING[-1:]:
        result = minimize(partial(_loss, task=task, smoothing=smoothing), flat, jac=True, **SOLVER)
        flat, reached = result.x, float(result.fun)
    b = flat[K * C :]
    return FittedHead(flat[: K * C].reshape(K, C), b - b.mean(), reached)


@dataclass(frozen=True)
class _Task:
    x: Array
    member: Array
    P: Array
    pull: Array
    C_l2: float


def _loss(flat: Array, task: _Task, smoothing: float) -> tuple[float, Array]:
    """Return the smoothed loss and its gradient at the weights and biases (K * C + K,)."""
    n, size = len(task.x), task.P.size
    W, b = flat[:size].reshape(task.P.shape), flat[size:]
    logp = log_softmax(task.x @ W.T + b, axis=1)
    d_logits = (np.exp(logp) - task.member) / n
    t = np.tanh(W)
    distance = np.sqrt((t - task.P) ** 2 + smoothing)
    value = -(task.member * logp).sum() / n
    value += (task.pull * (distance - np.sqrt(smoothing))).sum() + (W**2).sum() / (2 * n * task.C_l2)
    d_W = d_logits.T @ task.x + task.pull * (t - task.P) / distance * (1 - t**2) + W / (n * task.C_l2)
    return float(value), np.concatenate([d_W.ravel(), d_logits.sum(0)])


def fit_prior_only(
    a: Array, y: NDArray[np.intp], prior: Sequence[Sequence[int | None]], C: float = 1.0
) -> tuple[FittedHead, float]:
    """Return the head whose weights are the prior times one scale, and that scale: labels choose it and the bias alone.

    Minimises `CE(s P a + b, y) + ||s P||^2 / (2 n C)` over s >= 0 and b, which is convex. An unknown link weighs nothing.

    Args:
        a: Concept values (n, C).
        y: Class indices (n,).
        prior: Signs (K, C) in {-1, 0, 1}, or None for unknown.
        C: Inverse strength of the penalty.

    Raises:
        OslerError: `nothing-eligible` where the prior links no concept to a class.
    """
    P, _ = prior_arrays(prior, "free")
    if not P.any():
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            "The bank's prior links none of the grounded concepts to a class.",
            "Give links in the bank under `prior`, or use another method.",
        )
    n, K = len(y), len(P)
    member, evidence = np.eye(K)[y], np.asarray(a, dtype=float) @ P.T
    size = (P**2).sum() / (n * C)

    def loss(flat: Array) -> tuple[float, Array]:
        logp = log_softmax(flat[0] * evidence + flat[1:], axis=1)
        d_logits = (np.exp(logp) - member) / n
        value = -(member * logp).sum() / n + size * flat[0] ** 2 / 2
        return float(value), np.concatenate([[(d_logits * evidence).sum() + size * flat[0]], d_logits.sum(0)])

    found = minimize(loss, np.zeros(K + 1), jac=True, bounds=[(0, None)] + [(None, None)] * K, **SOLVER)
    b = found.x[1:]
    return FittedHead(found.x[0] * P, b - b.mean(), float(found.fun)), float(found.x[0])


def prior_arrays(prior: Sequence[Sequence[int | None]], unknown: Literal["free", "pull"]) -> tuple[Array, BoolArray]:
    """Return the signs (K, C), 0 where unknown, and which entries the prior pulls (K, C)."""
    known = np.array([[value is not None for value in row] for row in prior], dtype=bool)
    P = np.array([[float(value or 0) for value in row] for row in prior])
    return P, known if unknown == "free" else np.ones_like(known)
