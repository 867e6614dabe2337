"""Accuracy as concepts are corrected one group after another (M19.1), in domain and out of it.

Whoever corrects knows the truth of what was annotated; a concept without an answer stays as the model has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.correcting import Bench, Examined, Groups
from osler_training.evaluate.metrics import correct, ratio
from osler_training.evaluate.policies import POLICIES, Order, Policy

ORDERS = 20
SHARE = 0.95


@dataclass(frozen=True)
class Curve:
    """Accuracy after q groups were corrected.

    Attributes:
        groups: Number of groups G.
        q: How many were corrected, from 0 on; the last is all of them.
        accuracy: Accuracy at each q, for a policy that draws the mean over its orders.
        deviation: Standard deviation between the orders at each q, 0 for a policy that does not draw.
    """

    groups: int
    q: tuple[int, ...]
    accuracy: tuple[Estimate, ...]
    deviation: tuple[float, ...]

    @property
    def gain(self) -> Estimate:
        """All true minus none; below zero where corrections harm."""
        return self.accuracy[-1].minus(self.accuracy[0])

    @property
    def area(self) -> Estimate:
        """AUIC: area between the curve and its start, over the share of groups that were corrected."""
        every = _stack(self.accuracy)
        area = np.asarray(np.trapezoid(every - every[:1], np.array(self.q) / self.groups, axis=0))
        return Estimate(float(area[0]), area[1:])

    @property
    def needed(self) -> Estimate:
        """How many groups bring accuracy to 95% of what all of them do; 0 where it is there already."""
        every = _stack(self.accuracy)
        first = (every >= SHARE * every[-1:] - 1e-12).argmax(0)
        needed = np.array(self.q, float)[first]
        return Estimate(float(needed[0]), needed[1:])

    def to_record(self) -> dict[str, Any]:
        """Return the curve as JSON."""

        def cell(one: Estimate) -> dict[str, float]:
            return {"value": one.value, "ci_low": one.ci[0], "ci_high": one.ci[1]}

        points = zip(self.q, self.accuracy, self.deviation, strict=True)
        return {
            "groups": self.groups,
            "curve": [{"q": q, **cell(one), "sd_of_orders": sd} for q, one, sd in points],
            "auic": cell(self.area),
            "gain": cell(self.gain),
            "q95": cell(self.needed),
        }


def _stack(estimates: Sequence[Estimate]) -> Array:
    """Return values and replicates (Q, 1 + R)."""
    return np.stack([np.concatenate([[one.value], one.replicates]) for one in estimates])


def intervention_curves(
    pipeline: Pipeline,
    tested: Examined,
    policies: Sequence[str] | Mapping[str, Policy] = tuple(POLICIES),
    *,
    seed: int,
    groups: Groups | None = None,
    steps: int | None = None,
    orders: int = ORDERS,
    balanced: bool = False,
    replicates: int = REPLICATES,
) -> dict[str, Curve]:
    """Return the curve of each policy on one set of studies; run it in domain and out of it.

    Curves of one set are paired. What CooP and the oracle cost grows with the square of the number of concepts: give `steps`
    where there are many.

    Args:
        pipeline: The bottleneck.
        tested: The studies, with what annotators saw.
        policies: Names of policies, or policies by name.
        seed: Seed of the orders and of the bootstrap.
        groups: Concepts that are corrected together, by name of group.
        steps: Correct at most so many groups one by one; the curve ends with all of them in any case.
        orders: How many orders a random policy draws.
        balanced: Balanced accuracy instead of accuracy.
        replicates: Draws of the bootstrap.

    Raises:
        OslerError: `usage` where there is no such policy; see also `Bench`.
    """
    bench = Bench(pipeline, tested, groups)
    steps = bench.groups if steps is None else min(steps, bench.groups)
    rows = np.ones((1, len(bench)))
    weights = np.vstack([rows, patient_weights(tested.patients, seed=seed, replicates=replicates)])
    return {
        name: _curve(bench, policy, steps, orders if policy is POLICIES["random"] else 1, weights, seed, balanced)
        for name, policy in _named(policies).items()
    }


def _named(policies: Sequence[str] | Mapping[str, Policy]) -> Mapping[str, Policy]:
    if isinstance(policies, Mapping):
        return policies
    if strangers := [one for one in policies if one not in POLICIES]:
        raise OslerError(Code.USAGE, f"There is no policy {strangers[0]!r}.", f"Use one of {', '.join(POLICIES)}.")
    return {one: POLICIES[one] for one in policies}


def _curve(bench: Bench, policy: Policy, steps: int, orders: int, weights: Array, seed: int, balanced: bool) -> Curve:
    draws = [np.random.default_rng([seed, number]) for number in range(orders)]
    right = np.stack([_right(bench, policy(bench, steps, rng)) for rng in draws])  # (orders, Q, n)
    spread = np.stack([_rates(bench, one, weights[:1], balanced)[0] for one in right])
    rates = _rates(bench, right.mean(0), weights, balanced)  # (1 + R, Q)
    q = (*range(steps + 1), *([bench.groups] if steps < bench.groups else []))
    deviation = spread.std(0, ddof=1) if orders > 1 else np.zeros(len(q))
    return Curve(
        bench.groups,
        q,
        tuple(Estimate(float(one[0]), one[1:]) for one in rates.T),
        tuple(float(one) for one in deviation),
    )


def _right(bench: Bench, order: Order) -> Array:
    """Return which predictions are right (Q, n) after none, one, two ... and all groups were corrected."""
    taken = np.zeros(bench.open.shape, bool)
    found = [bench.corrected(taken)]
    for groups in order.T:
        taken = bench.take(taken, groups)
        found.append(bench.corrected(taken))
    if order.shape[1] < bench.groups:
        found.append(bench.corrected(np.ones_like(taken)))
    return np.stack([correct(bench.tested.y, one) for one in found])


def _rates(bench: Bench, right: Array, weights: Array, balanced: bool) -> Array:
    """Return the (balanced) accuracy (R, Q) of what is right (Q, n)."""
    if not balanced:
        return ratio(weights @ right.T, weights.sum(1, keepdims=True))
    y = bench.tested.y
    member = [(y == k).astype(float) for k in np.unique(y)]
    return np.asarray(np.mean([ratio((weights * one) @ right.T, (weights @ one)[:, None]) for one in member], axis=0))
