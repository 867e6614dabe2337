"""Heads for the worst group: what `group_dro` turns on in a probe and in the prior's head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.group_dro import GroupRule, Head
from osler_training.fit.group_head import fit_group_head, head_penalty
from osler_training.fit.methods import fit_method
from osler_training.fit.prior_head import HeadRule, fit_head
from osler_training.fit.problem import Cohort

World = Callable[..., Any]


def two_hospitals(n: int = 300) -> tuple[np.ndarray, Cohort]:
    """One concept tells the class in a tenth of the studies, another one in the rest."""
    rng = np.random.default_rng(0)
    y, group = np.arange(n) % 2, (np.arange(n) % 20 >= 18).astype(np.intp)
    a = rng.random((n, 3)) * 0.6
    a[np.arange(n), group] += 0.4 * y
    a[np.arange(n), 1 - group] += 0.15 * (1 - y)
    return a, Cohort(Features(np.zeros((n, 1))), y, tuple(f"p{i}" for i in range(n)), groups=group)


def by_group(W: np.ndarray, b: np.ndarray, a: np.ndarray, cohort: Cohort) -> np.ndarray:
    losses = -log_softmax(a @ W.T + b, axis=1)[np.arange(len(a)), cohort.y]
    return np.array([losses[cohort.groups == g].mean() for g in np.unique(cohort.groups)])


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_no_head_has_a_better_worst_group(strength: float) -> None:
    a, cohort = two_hospitals()
    prior = [[-1, -1, 0], [1, 1, 0]]
    rule = HeadRule(strength=strength, C=1.0)
    head, found = fit_group_head(a, cohort, prior, rule, GroupRule(tolerance=1e-4))
    plain = fit_head(a, cohort.y, prior, rule)

    def worst(flat: np.ndarray) -> float:
        one = Head(flat[:6].reshape(2, 3), flat[6:])
        return float(by_group(one.W, one.b, a, cohort).max() + head_penalty(one, prior, rule, len(cohort)))

    flat = [np.r_[one.W.ravel(), one.b] for one in (head, plain)]
    other = min(
        minimize(worst, start, method="Powell", options={"ftol": 1e-10, "maxiter": 20_000}).fun for start in flat
    )
    assert worst(flat[0]) < worst(flat[1]) - 0.005
    assert worst(flat[0]) < other + 2e-3
    assert head.loss == pytest.approx(worst(flat[0]))
    np.testing.assert_allclose(found.losses, by_group(head.W, head.b, a, cohort))


def test_one_group_is_no_group() -> None:
    a, cohort = two_hospitals()
    alone = replace(cohort, groups=np.zeros(len(cohort), np.intp))
    prior = [[-1, -1, None], [1, 1, None]]
    head, found = fit_group_head(a, alone, prior, HeadRule())
    np.testing.assert_allclose(head.W, fit_head(a, cohort.y, prior, HeadRule()).W, atol=1e-6)
    assert found.weights.tolist() == [1.0]


@pytest.mark.parametrize("name", ["bottleneck", "bottleneck_prior", "linear_probe"])
def test_a_recipe_turns_it_on_and_missing_groups_are_told(planted: World, name: str) -> None:
    problem = planted(2).problem
    classifier: Any = fit_method(name, problem, {"group_dro": True}, seed=0)
    record = classifier.record()
    assert set(record["group_loss"]) == {"0", "1"}
    assert max(record["group_loss"].values()) <= max(record["group_loss_unweighted"].values()) + 1e-9
    assert not np.array_equal(
        classifier.probabilities(planted(2).test), fit_method(name, problem, {}, seed=0).probabilities(planted(2).test)
    )
    with pytest.raises(OslerError) as caught:
        fit_method(name, replace(problem, train=replace(problem.train, groups=None)), {"group_dro": True}, seed=0)
    assert caught.value.code is Code.PART_MISSING


def test_a_probe_for_groups_refuses_missing_features(planted: World) -> None:
    problem = planted(2).problem
    hollow = problem.train.features.pooled.copy()
    hollow[0, 0] = np.nan
    holed = replace(problem, train=replace(problem.train, features=replace(problem.train.features, pooled=hollow)))
    assert fit_method("linear_probe", holed, {}, seed=0)
    with pytest.raises(OslerError) as caught:
        fit_method("linear_probe", holed, {"group_dro": True}, seed=0)
    assert caught.value.code is Code.TABLE_INVALID
