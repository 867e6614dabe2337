"""Heads for the worst group (group DRO; Sagawa et al. 2020), by exponentiated gradient around a convex solver.

The published form takes one stochastic step of the weights for one of the groups; a linear head lets every round solve the
reweighted problem to its optimum. That makes the result deterministic, and gives a bound: the reweighted optimum is at most,
the worst group of any head at least, what the best head can reach for its worst group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import Labels

SOLVER: Any = {
    "method": "L-BFGS-B",
    "jac": True,
    "options": {"maxiter": 2000, "ftol": 1e-13, "gtol": 1e-8, "maxcor": 30},
}
# What reweights: solves `sum_i w_i CE_i + penalty(W)` for weights (n,) that sum to 1, from a start or none.
Solve = Callable[[Array, "Head | None"], "Head"]


@dataclass(frozen=True)
class Head:
    """Weights (K, C) and bias (K,)."""

    W: Array
    b: Array

    def losses(self, a: Array, y: Labels) -> Array:
        """Return the cross-entropy of each row (n,)."""
        return np.asarray(-log_softmax(a @ self.W.T + self.b, axis=1)[np.arange(len(y)), y])


@dataclass(frozen=True)
class GroupRule:
    """How the worst group is sought.

    Attributes:
        C: Inverse strength of an L2 penalty `||W||^2 / (2 n C)`, the bias spared.
        rate: Step of the exponentiated gradient on the groups' weights.
        rounds: Most rounds.
        tolerance: Distance of the worst group's objective from its lower bound at which rounds end.
        adjustment: Small groups are held worse than they look by this over the root of their size (the paper's C), since
            they generalise worse.
    """

    C: float = 1.0
    rate: float = 1.0
    rounds: int = 300
    tolerance: float = 1e-3
    adjustment: float = 0.0

    def __post_init__(self) -> None:
        if not (self.C > 0 and self.rate > 0 and self.rounds > 0 and self.tolerance > 0 and self.adjustment >= 0):
            raise OslerError(
                Code.USAGE, "A number of the rule for groups is not positive.", "Correct it in the method's options."
            )


@dataclass(frozen=True)
class GroupRobust:
    """What was found.

    Attributes:
        head: The head.
        groups: The groups, as they are numbered (G,).
        weights: Weight of each group in the last round (G,).
        losses: Cross-entropy of each group under the head (G,).
        first: The same under the head that weighs every row alike.
        gap: How far the worst group's objective may be above the best that there is.
        rounds: Rounds taken.
    """

    head: Head
    groups: NDArray[np.intp]
    weights: Array
    losses: Array
    first: Array
    gap: float
    rounds: int

    def record(self) -> dict[str, Any]:
        """Return it as JSON, by group."""
        by_group = {"group_weight": self.weights, "group_loss": self.losses, "group_loss_unweighted": self.first}
        named = {
            name: {str(group): float(value) for group, value in zip(self.groups, values, strict=True)}
            for name, values in by_group.items()
        }
        return {**named, "group_gap": self.gap, "group_rounds": self.rounds}


def fit_group_dro(
    a: Array, y: Labels, groups: NDArray[np.intp], classes: int, rule: GroupRule | None = None
) -> GroupRobust:
    """Minimise `max_g CE_g + ||W||^2 / (2 n C)` over heads.

    Args:
        a: Inputs of the head (n, C), on comparable scales.
        y: Class indices (n,), each class present.
        groups: Group of each row (n,).
        classes: Number of classes K.
        rule: How.

    Raises:
        OslerError: `usage` where a class has no example.
    """
    rule = rule or GroupRule()
    if missing := sorted(set(range(classes)) - set(y.tolist())):
        raise OslerError(Code.USAGE, f"Classes {missing} have no example to fit on.", "Give examples of every class.")
    ridge = 1 / (len(y) * rule.C)

    def solve(weights: Array, start: Head | None) -> Head:
        return weighted_head(a, y, weights, classes, ridge, start)

    return reweighted(solve, lambda head: ridge / 2 * float((head.W**2).sum()), a, y, groups, rule)


def reweighted(
    solve: Solve, penalty: Callable[[Head], float], a: Array, y: Labels, groups: NDArray[np.intp], rule: GroupRule
) -> GroupRobust:
    """Reweight the groups until the worst one can hardly be helped; any convex head that takes weights of rows will do.

    Args:
        solve: Minimises the weighted loss plus the penalty.
        penalty: The penalty of a head.
        a: Inputs of the head (n, C).
        y: Class indices (n,).
        groups: Group of each row (n,).
        rule: How.
    """
    names, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    extra = rule.adjustment / np.sqrt(sizes)

    def group_losses(head: Head) -> Array:
        return np.bincount(member, head.losses(a, y)) / sizes

    weights = sizes / len(y)  # The first round is the fit that knows no groups.
    first = head = solve(weights[member] / sizes[member], None)
    total = Head(np.zeros_like(head.W), np.zeros_like(head.b))
    best, bound = (np.inf, head), -np.inf
    taken = 0
    for taken in range(1, rule.rounds + 1):
        held = group_losses(head) + extra
        bound = max(bound, float(weights @ held) + penalty(head))
        total = Head(total.W + head.W, total.b + head.b)
        # Rounds circle around the optimum, and their mean goes there.
        for one in (head, Head(total.W / taken, total.b / taken)):
            reached = float((group_losses(one) + extra).max()) + penalty(one)
            best = min(best, (reached, one), key=lambda pair: pair[0])
        if best[0] - bound <= rule.tolerance:
            break
        weights = softmax(np.log(weights) + rule.rate * held)
        head = solve(weights[member] / sizes[member], head)
    return GroupRobust(best[1], names, weights, group_losses(best[1]), group_losses(first), best[0] - bound, taken)


def weighted_head(a: Array, y: Labels, weights: Array, classes: int, ridge: float, start: Head | None = None) -> Head:
    """Minimise `sum_i w_i CE_i + ridge/2 ||W||^2`; two classes come out as `[-w/2, +w/2]`, which the optimum is.

    Args:
        a: Inputs (n, C).
        y: Class indices (n,).
        weights: Weights of the rows (n,), which sum to 1.
        classes: Number of classes K.
        ridge: Strength of the penalty; the bias is spared.
        start: Where the solver starts.
    """
    K, C = classes, a.shape[1]
    truth = np.eye(K)[y]

    def loss(flat: Array) -> tuple[float, Array]:
        W, b = flat[: K * C].reshape(K, C), flat[K * C :]
        logp = log_softmax(a @ W.T + b, axis=1)
        d_logits = weights[:, None] * (np.exp(logp) - truth)
        value = -float(weights @ (logp * truth).sum(axis=1)) + ridge / 2 * float((W**2).sum())
        return value, np.concatenate([(d_logits.T @ a + ridge * W).ravel(), d_logits.sum(axis=0)])

    first = np.zeros(K * C + K) if start is None else np.concatenate([start.W.ravel(), start.b])
    flat = minimize(loss, first, **SOLVER).x
    W, b = flat[: K * C].reshape(K, C), flat[K * C :]
    return Head(W - W.mean(axis=0), b - b.mean())
