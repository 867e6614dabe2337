"""Sparse linear heads: cross-entropy with an elastic net, by a deterministic full-batch solver (M3, M5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ALPHA = 0.99
PATH, SHALLOWEST = 100, 1e-3  # values on a path, and its last one as a share of the first
# Where a penalty is weak the solver stalls with both parts of a weight above zero; started again from their difference, it
# goes on.
ROUNDS, TOLERANCE = 30, 1e-8
SOLVER: Any = {
    "method": "L-BFGS-B",
    "options": {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30},
}


@dataclass(frozen=True)
class SparseHead:
    """Weights (K, C), bias (K,), the penalty, the objective that was reached, and how far its optimality conditions fail."""

    W: Array
    b: Array
    strength: float
    objective: float
    violation: float

    @property
    def per_class(self) -> float:
        """Mean number of concepts that a class uses."""
        return float((self.W != 0).sum(1).mean())

    def record(self) -> dict[str, float]:
        """Return what was reached, as JSON."""
        return {
            "head_strength": self.strength,
            "head_violation": self.violation,
            "concepts_per_class": self.per_class,
        }


def fit_sparse_head(
    a: Array,
    y: NDArray[np.intp],
    classes: int,
    strength: float,
    *,
    alpha: float = ALPHA,
    start: SparseHead | None = None,
) -> SparseHead:
    """Minimise `CE(Wa + b, y) + strength (alpha ||W||_1 + (1 - alpha)/2 ||W||^2)`, the bias spared.

    `W = P - N` with `P, N >= 0` makes the problem smooth with bounds, which L-BFGS-B solves with exact zeros. Two classes are
    two rows `[-w/2, +w/2]`, which the optimum is.

    Args:
        a: Concept values (n, C).
        y: Class indices (n,), each class present.
        classes: Number of classes K.
        strength: The lambda of M3 and M5.
        alpha: Share of the L1 norm.
        start: A solution to start from.

    Raises:
        OslerError: `usage` where a class has no example.
    """
    if missing := sorted(set(range(classes)) - set(y.tolist())):
        raise OslerError(Code.USAGE, f"Classes {missing} have no example to fit on.", "Give examples of every class.")
    task = _Task(np.asarray(a, float), np.eye(classes)[y], strength, alpha)
    head = start or SparseHead(np.zeros((classes, task.a.shape[1])), null_bias(y, classes), strength, np.inf, np.inf)
    for _ in range(ROUNDS):
        found = minimize(task.loss, task.gather(head.W, head.b), jac=True, bounds=task.bounds, **SOLVER).x
        W, b = task.spread(found)
        args = (a, y, W, b, strength, alpha)
        head = SparseHead(W, b, strength, objective(*args), violation(*args))
        if head.violation <= TOLERANCE:
            break
    return head


def fit_path(
    a: Array, y: NDArray[np.intp], classes: int, *, alpha: float = ALPHA, values: int = PATH
) -> list[SparseHead]:
    """Return heads from the strongest penalty, which leaves no weight, to a thousandth of it, by equal ratios."""
    heads: list[SparseHead] = []
    for strength in strongest(a, y, classes, alpha=alpha) * np.geomspace(1, SHALLOWEST, values):
        start = heads[-1] if heads else None
        heads.append(fit_sparse_head(a, y, classes, float(strength), alpha=alpha, start=start))
    return heads


def choose_sparse(heads: Sequence[SparseHead], a: Array, y: NDArray[np.intp], errors: float) -> SparseHead:
    """Return the head of the strongest penalty whose cross-entropy is within some standard errors of the best.

    The errors are those of the difference, study by study, from the head that is best.

    Args:
        heads: Heads, the strongest penalty first.
        a: Concept values (n, C) of studies that choose, and are reported nowhere.
        y: Their classes (n,).
        errors: How many; 0 takes the best.
    """
    losses = np.array([-log_softmax(a @ head.W.T + head.b, axis=1)[np.arange(len(y)), y] for head in heads])
    worse = losses - losses[losses.mean(1).argmin()]
    close = worse.mean(1) <= errors * worse.std(1) / np.sqrt(len(y)) + 1e-12
    return heads[int(close.argmax())]


def strongest(a: Array, y: NDArray[np.intp], classes: int, *, alpha: float = ALPHA) -> float:
    """Return the smallest strength that leaves no weight: `max |A'(Y - mean Y)| / (n alpha)`."""
    member = np.eye(classes)[y]
    return float(np.abs(a.T @ (member - member.mean(0))).max() / (len(a) * alpha))


def null_bias(y: NDArray[np.intp], classes: int) -> Array:
    """Return the bias of a head without weights (K,): the logarithm of the class shares, centred."""
    b = np.log(np.bincount(y, minlength=classes) / len(y))
    return np.asarray(b - b.mean())


def soften(W: Array, step: float, strength: float, alpha: float = ALPHA) -> Array:
    """Return the proximal point of the penalty: `argmin_U ||U - W||^2 / 2 + step * penalty(U)`."""
    shrunk = np.sign(W) * np.maximum(np.abs(W) - step * strength * alpha, 0)
    return np.asarray(shrunk / (1 + step * strength * (1 - alpha)))


def objective(a: Array, y: NDArray[np.intp], W: Array, b: Array, strength: float, alpha: float = ALPHA) -> float:
    """Return the objective at weights (K, C) and bias (K,)."""
    loss = -log_softmax(a @ W.T + b, axis=1)[np.arange(len(y)), y].mean()
    return float(loss + strength * (alpha * np.abs(W).sum() + (1 - alpha) / 2 * (W**2).sum()))


def violation(a: Array, y: NDArray[np.intp], W: Array, b: Array, strength: float, alpha: float = ALPHA) -> float:
    """Return how far a proximal gradient step of length one moves weights or bias: zero at the optimum only."""
    d_logits = (softmax(a @ W.T + b, axis=1) - np.eye(len(b))[y]) / len(a)
    moved = np.abs(W - soften(W - d_logits.T @ a, 1.0, strength, alpha)).max(initial=0)
    return float(max(moved, np.abs(d_logits.sum(0)).max()))


@dataclass(frozen=True)
class _Task:
    a: Array
    member: Array
    strength: float
    alpha: float

    @property
    def rows(self) -> int:
        """Rows that are solved for: one where two classes are."""
        K = self.member.shape[1]
        return 1 if K == 2 else K

    @property
    def bounds(self) -> list[tuple[int | None, None]]:
        """Bounds of the parts: what is split is not negative, biases are free."""
        return [(0, None)] * (2 * self.rows * self.a.shape[1]) + [(None, None)] * self.rows

    def gather(self, W: Array, b: Array) -> Array:
        """Return the positive parts, negative parts and biases of the rows, of weights (K, C) and bias (K,)."""
        if self.rows == 1:
            W, b = W[1:] - W[:1], b[1:] - b[:1]
        return np.concatenate([np.maximum(W, 0).ravel(), np.maximum(-W, 0).ravel(), b])

    def spread(self, flat: Array) -> tuple[Array, Array]:
        """Return weights (K, C) and bias (K,) from the positive parts, negative parts and biases of the rows."""
        rows, C = self.rows, self.a.shape[1]
        size = rows * C
        W, b = (flat[:size] - flat[size : 2 * size]).reshape(rows, C), flat[2 * size :]
        if rows == 1:
            return np.concatenate([-W, W]) / 2, np.concatenate([-b, b]) / 2
        return W, b - b.mean()

    def loss(self, flat: Array) -> tuple[float, Array]:
        """Return the objective and its gradient."""
        rows, C = self.rows, self.a.shape[1]
        size = rows * C
        W, b = self.spread(flat)
        logp = log_softmax(self.a @ W.T + b, axis=1)
        d_logits = (np.exp(logp) - self.member) / len(self.a)
        ridge = self.strength * (1 - self.alpha)
        d_W, d_b = d_logits.T @ self.a + ridge * W, d_logits.sum(0)
        # Both rows of two classes move by half of what the one row moves, in opposite directions.
        if rows == 1:
            d_W, d_b = (d_W[1:] - d_W[:1]) / 2, (d_b[1:] - d_b[:1]) / 2
        lasso = self.strength * self.alpha
        value = -(self.member * logp).sum() / len(self.a) + lasso * flat[: 2 * size].sum() + ridge / 2 * (W**2).sum()
        return float(value), np.concatenate([d_W.ravel() + lasso, lasso - d_W.ravel(), d_b])
