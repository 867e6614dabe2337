"""The linear head with a parameter prior (M1.4), fitted by a deterministic full-batch solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize
from scipy.special import log_softmax

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SOLVER: Any = {
    "method": "L-BFGS-B",
    "options": {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 30},
}
COARSE = 1e-5  # below it a gradient in single precision is noise


@dataclass(frozen=True)
class HeadRule:
    """How a head is fitted.

    Attributes:
        strength: Weight of the prior, the lambda of M1.4; 0 fits without one.
        unknown: What an unknown link (None in the bank) means: `free` leaves its weight to the data, `pull` draws it to
            zero as the paper does. A link that is known to say nothing (0 in the bank) is drawn to zero either way.
        C: Inverse strength of an L2 penalty `||W||^2 / (2 n C)` on the K rows, the bias spared. It keeps the optimum finite
            where the classes are separable, and replaces the paper's early stopping.
        tolerance: The fit ends where no entry of the gradient is larger.
    """

    strength: float = 1.0
    unknown: Literal["free", "pull"] = "free"
    C: float = 1.0
    tolerance: float = 1e-5


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
    *,
    weights: Array | None = None,
) -> FittedHead:
    """Minimise `CE(Wa + b, y) + lambda/(K C) sum |tanh(W) - P| + ||W||^2 / (2 n C_l2)`.

    Concept values stay probabilities, as in the paper: neither scaled nor, for the penalties, centred, so that a weight means
    the same for every concept. Towards a sign `|tanh(W) - P|` is `1 - P tanh(W)`, since no tanh reaches 1; towards zero it is
    `tanh(p) + tanh(q)` with `W = p - q` and both parts at least 0. Both are smooth, so that one solver serves.

    Args:
        a: Concept values (n, C).
        y: Class indices (n,), each class present.
        prior: Signs (K, C) in {-1, 0, 1}, or None for unknown.
        rule: How.
        weights: Weight of each example in the cross-entropy (n,), of mean 1; equal where not given.

    Raises:
        OslerError: `usage` where a class has no example.
    """
    rule = rule or HeadRule()
    P, known = prior_arrays(prior, rule.unknown)
    K, C = P.shape
    if missing := sorted(set(range(K)) - set(y.tolist())):
        raise OslerError(Code.USAGE, f"Classes {missing} have no example to fit on.", "Give examples of every class.")
    mean = np.mean(a, axis=0, dtype=float)
    x, share = np.asarray(a, float) - mean, np.ones(len(y)) / len(y) if weights is None else weights / len(y)
    pull = rule.strength / (K * C) * known
    # Single precision takes most of the way at a quarter of the cost; double precision ends it.
    coarse, task = (
        _Task.of(x.astype(one, copy=False), y, share.astype(one), P, pull, len(y) * rule.C)
        for one in (np.float32, np.float64)
    )
    flat, _ = _minimised(coarse, np.zeros(coarse.size), max(rule.tolerance, COARSE))
    flat, reached = _minimised(task, flat, rule.tolerance)
    W, b = task.weights(flat), flat[-K:]
    b = b - W @ mean
    return FittedHead(W, b - b.mean(), reached)


def _minimised(task: _Task, flat: Array, tolerance: float) -> tuple[Array, float]:
    options: Any = {**SOLVER, "options": {**SOLVER["options"], "gtol": tolerance}}
    found = minimize(task.loss, flat, jac=True, bounds=task.bounds, **options)
    return found.x, float(found.fun)


@dataclass(frozen=True)
class _Task:
    """What is minimised, class by class in memory: sums over few classes are then sums of long rows."""

    x: Array  # (n, C), centred
    columns: Array  # (C, n), the same
    member: Array  # (K, n), the share of each example in its class's row
    share: Array  # (n,)
    P: Array
    pull: Array
    split: NDArray[np.intp]  # entries that are drawn to zero, in the flat order of W
    ridge: float

    @classmethod
    def of(cls, x: Array, y: NDArray[np.intp], share: Array, P: Array, pull: Array, n_C: float) -> _Task:
        member = np.zeros((len(P), len(y)), x.dtype)
        member[y, np.arange(len(y))] = share
        split = np.flatnonzero((P == 0) & (pull > 0))
        return cls(x, x.T, member, share, P, pull, split, 1 / n_C)

    @property
    def size(self) -> int:
        """Unknowns: W, or its positive part where it is split; the negative parts; b."""
        return self.P.size + len(self.split) + len(self.P)

    @property
    def bounds(self) -> Bounds | None:
        if not len(self.split):
            return None
        low = np.full(self.size, -np.inf)
        low[self.split] = low[self.P.size : -len(self.P)] = 0
        return Bounds(low, np.full(self.size, np.inf))

    def weights(self, flat: Array) -> Array:
        W = flat[: self.P.size].copy()
        W[self.split] -= flat[self.P.size : -len(self.P)]
        return W.reshape(self.P.shape)

    def loss(self, flat: Array) -> tuple[float, Array]:
        """Return the loss and its gradient at the unknowns."""
        W, precision = self.weights(flat), self.x.dtype
        z = W.astype(precision) @ self.columns
        z += flat[-len(self.P) :, None].astype(precision)
        z -= z.max(0)
        picked = np.vdot(z, self.member)
        np.exp(z, out=z)
        total = z.sum(0)
        value = float(np.vdot(self.share, np.log(total))) - float(picked)
        z *= self.share / total
        z -= self.member
        t, signed = np.tanh(W), self.pull * self.P
        value += float(np.abs(signed).sum() - (signed * t).sum() + (W**2).sum() * self.ridge / 2)
        d_W = ((z @ self.x).astype(float) + W * self.ridge - signed * (1 - t**2)).ravel()
        parts = np.tanh(np.stack([flat[self.split], flat[self.P.size : -len(self.P)]]))
        drawn = self.pull.ravel()[self.split]
        value += float((drawn * parts).sum())
        slope, base = drawn * (1 - parts**2), d_W[self.split]
        d_W[self.split] = base + slope[0]
        return value, np.concatenate([d_W, slope[1] - base, z.sum(1, dtype=float)])


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
