"""The prior head for the group that fares worst: group DRO around the solver of M1.4."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.group_dro import GroupRobust, GroupRule, Head, reweighted
from osler_training.fit.prior_head import FittedHead, HeadRule, fit_head, prior_arrays
from osler_training.fit.problem import Cohort


def fit_group_head(
    a: Array,
    cohort: Cohort,
    prior: Sequence[Sequence[int | None]],
    rule: HeadRule,
    groups: GroupRule | None = None,
) -> tuple[FittedHead, GroupRobust]:
    """Minimise `max_g CE_g` plus the penalties of `fit_head`, and return the head with what became of the groups.

    The prior's penalty is not convex, so that with a prior the record's gap is no longer a bound.

    Args:
        a: Concept values of the cohort (n, C).
        cohort: Studies with their groups.
        prior: Signs (K, C) in {-1, 0, 1}, or None for unknown.
        rule: How the head is fitted.
        groups: How the worst group is sought; its own penalty is not used.

    Raises:
        OslerError: `part-missing` where the cohort has no groups; `usage` where a class has no example.
    """
    if cohort.groups is None:
        raise OslerError(
            Code.PART_MISSING,
            "Nothing says which group a study of the training part belongs to.",
            "Name the attribute that makes the groups in the recipe, or leave out `group_dro`.",
        )
    y, n = cohort.y, len(cohort)

    def solve(weights: Array, start: Head | None) -> Head:
        head = fit_head(a, y, prior, rule, weights=weights * n)
        return Head(head.W, head.b)

    penalty = partial(head_penalty, prior=prior, rule=rule, n=n)
    found = reweighted(solve, penalty, np.asarray(a, float), y, cohort.groups, groups or GroupRule())
    W, b = found.head.W, found.head.b
    return FittedHead(W, b, float(found.losses.max()) + penalty(found.head)), found


def head_penalty(head: Head, prior: Sequence[Sequence[int | None]], rule: HeadRule, n: int) -> float:
    """Return the penalties of M1.4 for weights (K, C): the prior's, and the L2 norm's for n examples."""
    P, known = prior_arrays(prior, rule.unknown)
    drawn = rule.strength / P.size * (known * np.abs(np.tanh(head.W) - P)).sum()
    return float(drawn + (head.W**2).sum() / (2 * n * rule.C))
