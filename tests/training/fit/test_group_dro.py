"""The worst group fares better, as by hand, by a general solver and by the bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import METRICS
from osler_training.fit.group_dro import GroupRule, fit_group_dro, weighted_head
from osler_training.fit.methods import fit_method


def draw(seed: int, rows: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a feature that tells the class a little and one that tells it well in the large group, wrongly in the small."""
    rng = np.random.default_rng(seed)
    y, groups = np.arange(rows) % 2, (np.arange(rows) % 10 == 0).astype(int) | (np.arange(rows) % 10 == 1).astype(int)
    sign = 2 * y - 1
    true = sign + rng.normal(0, 1.5, rows)
    shortcut = np.where(groups == 0, sign, -sign) * 1.5 + rng.normal(0, 0.7, rows)
    return np.column_stack([true, shortcut]), y, groups


def test_two_groups_of_one_class_each_meet_in_the_middle():
    # Nothing to see, 90 rows of class 1 and 10 of class 0: unweighted, P(1) = 0.9; for the worst group 0.5, both at log 2.
    y = np.array([1] * 90 + [0] * 10)
    found = fit_group_dro(np.zeros((100, 1)), y, y, 2, GroupRule(tolerance=1e-6))
    np.testing.assert_allclose(found.first, [-np.log(0.1), -np.log(0.9)], atol=1e-4)
    np.testing.assert_allclose(found.losses, np.log(2), atol=1e-4)
    np.testing.assert_allclose(found.weights, 0.5, atol=1e-3)
    np.testing.assert_allclose(found.head.b, 0, atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_worst_group_fares_better_and_the_bound_holds(seed: int):
    a, y, groups = draw(seed)
    found = fit_group_dro(a, y, groups, 2)
    assert found.losses.max() < found.first.max() - 0.05
    assert -1e-9 <= found.gap <= 1e-3
    assert found.head.W[1, 0] > 0
    np.testing.assert_allclose(found.head.W[0], -found.head.W[1])


def test_it_is_the_optimum_of_a_general_solver():
    a, y, groups = draw(3, rows=120)
    rule = GroupRule(C=0.5, tolerance=1e-5, rounds=2000)
    found = fit_group_dro(a, y, groups, 2, rule)
    ridge = 1 / (120 * 0.5)

    def losses(flat: np.ndarray) -> np.ndarray:
        rows = np.log1p(np.exp(-(2 * y - 1) * (a @ flat[:2] + flat[2])))
        return np.array([rows[groups == g].mean() for g in (0, 1)])

    # The smallest t above both groups; two rows of weights -w/2 and w/2 have half the squares of w.
    def objective(flat: np.ndarray) -> float:
        return float(flat[3] + ridge / 4 * (flat[:2] ** 2).sum())

    above = {"type": "ineq", "fun": lambda flat: flat[3] - losses(flat[:3])}
    best = minimize(
        objective, [0, 0, 0, 1.0], constraints=[above], method="SLSQP", options={"maxiter": 500, "ftol": 1e-12}
    )
    reached = found.losses.max() + ridge / 2 * (found.head.W**2).sum()
    assert reached == pytest.approx(best.fun, abs=2e-5)
    np.testing.assert_allclose(found.head.W[1] - found.head.W[0], best.x[:2], atol=0.02)


def test_one_group_is_the_librarys_logistic_regression():
    a, y, _ = draw(1)
    found = fit_group_dro(a, y, np.zeros(len(y), int), 2, GroupRule(C=0.3))
    # The library's penalty is on one row w, ours on two rows w/2: half as much.
    library = LogisticRegression(C=0.6, tol=1e-10, max_iter=10_000).fit(a, y)
    np.testing.assert_allclose(found.head.W[1] - found.head.W[0], library.coef_[0], atol=1e-4)
    assert found.rounds == 1


def test_weights_are_copies_of_rows():
    a, y, _ = draw(2, rows=40)
    y = np.arange(40) % 3
    counts = np.random.default_rng(0).integers(1, 4, 40)
    weighted = weighted_head(a, y, counts / counts.sum(), 3, 0.01)
    copied = np.repeat(np.arange(40), counts)
    plain = weighted_head(a[copied], y[copied], np.full(len(copied), 1 / len(copied)), 3, 0.01)
    np.testing.assert_allclose(weighted.W, plain.W, atol=1e-5)
    np.testing.assert_allclose(weighted.b, plain.b, atol=1e-5)


def test_the_adjustment_favours_small_groups():
    y = np.array([1] * 90 + [0] * 10)
    found = fit_group_dro(np.zeros((100, 1)), y, y, 2, GroupRule(adjustment=2.0, tolerance=1e-6))
    assert found.losses[0] + 2 / np.sqrt(10) == pytest.approx(found.losses[1] + 2 / np.sqrt(90), abs=1e-3)


def test_a_class_without_examples_and_bad_rules_are_refused():
    a, y, groups = draw(0)
    with pytest.raises(OslerError) as caught:
        fit_group_dro(a, y, groups, 3)
    assert caught.value.code is Code.USAGE
    for wrong in ({"C": 0.0}, {"rate": -1.0}, {"rounds": 0}, {"tolerance": 0.0}, {"adjustment": -1.0}):
        with pytest.raises(OslerError) as caught:
            GroupRule(**wrong)  # type: ignore[arg-type]
        assert caught.value.code is Code.USAGE


def test_the_probe_helps_the_group_that_a_shortcut_misleads(planted: Callable[..., Any]):
    world = planted(2)
    problem = world.problem
    robust, plain = (fit_method(name, problem, {}, seed=0) for name in ("group_dro_probe", "linear_probe"))
    # Groups by the shortcut and the class together: where both disagree, the shortcut misleads.
    crossed = replace(problem, **{part: crossing(getattr(problem, part)) for part in ("train", "select")})
    aware = fit_method("group_dro_probe", crossed, {}, seed=0)
    scores = [worst(one, crossing(world.test)) for one in (aware, plain)]
    assert scores[0] > scores[1]
    assert robust.record()["group_gap"] <= 1e-3
    with pytest.raises(OslerError) as caught:
        fit_method("group_dro_probe", replace(problem, train=replace(problem.train, groups=None)), {}, seed=0)
    assert caught.value.code is Code.PART_MISSING


def crossing(cohort: Any) -> Any:
    return replace(cohort, groups=2 * cohort.groups + cohort.y)


def worst(classifier: Any, cohort: Any) -> float:
    prob, ones = classifier.probabilities(cohort), np.ones((1, len(cohort)))
    parts = [cohort.groups == group for group in np.unique(cohort.groups)]
    return min(float(METRICS["accuracy"](cohort.y[part], prob[part], ones[:, part])[0]) for part in parts)
