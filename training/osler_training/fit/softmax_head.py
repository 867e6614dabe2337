"""The head of M4: shares of concepts by a softmax, from where the prior puts them, stopped on the select split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from osler.bottleneck.records import Array

SOLVER: Any = {"method": "L-BFGS-B", "options": {"ftol": 1e-12, "gtol": 1e-8, "maxcor": 30}}


@dataclass(frozen=True)
class SoftmaxRule:
    """How the shares are fitted.

    Attributes:
        scale: What a class's weights add up to; 100 suits cosines.
        start: Share of the start that a concept has beside the classes that it was written for. It is multiplied by
            log(1 + C): under a softmax over many concepts a fixed number would be no prior at all. 0 starts from equal
            shares; large values from the mean of a class's own concepts, which is a zero-shot ensemble.
        steps: Most steps of the solver; the step with the lowest cross-entropy on the select split is kept.
    """

    scale: float = 100.0
    start: float = 1.0
    steps: int = 500


@dataclass(frozen=True)
class FittedShares:
    """Shares before the softmax (K, C), the step that was kept, and its cross-entropy on the select split."""

    shares: Array
    step: int
    select_loss: float


def initial_shares(written_for: NDArray[np.bool_], start: float) -> Array:
    """Return the shares before the softmax (K, C) at the start, from which concept was written for which class (K, C)."""
    return np.asarray(start * np.log1p(written_for.shape[1]) * written_for)


def fit_shares(
    train: tuple[Array, NDArray[np.intp]],
    select: tuple[Array, NDArray[np.intp]],
    written_for: NDArray[np.bool_],
    rule: SoftmaxRule,
) -> FittedShares:
    """Minimise `CE(scale * a softmax(W)')` from the prior's start over all training studies at once.

    The problem is not convex: what is found depends on the start, which is the point of it, and on nothing drawn.

    Args:
        train: Concept values (n, C) and class indices (n,) to fit on.
        select: The same to stop on.
        written_for: Which concept was written for which class (K, C).
        rule: How.
    """
    shape = written_for.shape
    first = initial_shares(written_for, rule.start).ravel()
    course = [first]
    if rule.steps:
        task = partial(shares_loss, a=np.asarray(train[0], float), member=np.eye(shape[0])[train[1]], scale=rule.scale)
        solver = {**SOLVER, "options": {**SOLVER["options"], "maxiter": rule.steps}}
        minimize(task, first, jac=True, callback=lambda flat: course.append(np.array(flat)), **solver)
    member = np.eye(shape[0])[select[1]]
    losses = [shares_loss(flat, np.asarray(select[0], float), member, rule.scale)[0] for flat in course]
    step = int(np.argmin(losses))
    return FittedShares(course[step].reshape(shape), step, losses[step])


def shares_loss(flat: Array, a: Array, member: Array, scale: float) -> tuple[float, Array]:
    """Return the cross-entropy and its gradient at shares before the softmax (K * C,).

    Args:
        flat: The shares, class by class.
        a: Concept values (n, C).
        member: 1 where a study is of a class (n, K).
        scale: What a class's weights add up to.
    """
    share = softmax(flat.reshape(member.shape[1], -1), axis=1)
    logp = log_softmax(scale * a @ share.T, axis=1)
    d_share = scale * ((np.exp(logp) - member) / len(a)).T @ a
    d_flat = share * (d_share - (share * d_share).sum(axis=1, keepdims=True))
    return float(-(member * logp).sum() / len(a)), d_flat.ravel()
