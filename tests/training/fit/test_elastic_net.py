"""The sparse head: optimality conditions, closed limits, scikit-learn, brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from osler_contracts.errors import OslerError
from osler_training.fit.elastic_net import (
    choose_sparse,
    fit_path,
    fit_sparse_head,
    null_bias,
    objective,
    soften,
    strongest,
    violation,
)


def world(seed: int = 0, n: int = 300, C: int = 12, K: int = 3, used: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Concept values of unit deviation, of which the first few say the class."""
    rng = np.random.default_rng(seed)
    W = np.zeros((K, C))
    W[:, :used] = rng.normal(size=(K, used)) * 2
    a = rng.normal(size=(n, C))
    return a, (a @ W.T + rng.gumbel(size=(n, K))).argmax(1)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 999),
    K=st.integers(2, 4),
    C=st.integers(1, 12),
    strength=st.sampled_from([1e-5, 1e-3, 1e-2, 0.1]),
)
def test_the_optimality_conditions_hold(seed: int, K: int, C: int, strength: float) -> None:
    a, y = world(seed, C=C, K=K, used=min(C, 4))
    y[:K] = np.arange(K)
    head = fit_sparse_head(a, y, K, strength)
    # Derived apart from the solver: for W != 0 the gradient cancels the penalty's, for W = 0 it is within the L1 bound.
    gradient = (softmax(a @ head.W.T + head.b, axis=1) - np.eye(K)[y]).T @ a / len(a)
    bound = 0.99 * strength
    smooth = gradient + 0.01 * strength * head.W
    used = head.W != 0
    np.testing.assert_allclose(smooth[used], -bound * np.sign(head.W[used]), atol=2e-7)
    assert (np.abs(gradient[~used]) <= bound + 2e-7).all()
    assert head.violation < 2e-7


def test_an_optimum_that_was_moved_violates_the_conditions() -> None:
    a, y = world()
    head = fit_sparse_head(a, y, 3, 1e-2)
    for W, b in ((head.W + 1e-3, head.b), (head.W, head.b + np.array([1e-2, 0, 0])), (head.W * 1.01, head.b)):
        assert violation(a, y, W, b, 1e-2) > 1e-5
        assert objective(a, y, W, b, 1e-2) > head.objective


@pytest.mark.parametrize("K", [2, 3])
def test_the_strongest_penalty_leaves_the_class_shares_alone(K: int) -> None:
    a, y = world(K=K)
    limit = strongest(a, y, K)
    for factor in (1.0, 3.0):
        head = fit_sparse_head(a, y, K, limit * factor)
        assert not head.W.any()
        np.testing.assert_allclose(head.b, null_bias(y, K), atol=1e-6)
        np.testing.assert_allclose(softmax(head.b), np.bincount(y) / len(y), atol=1e-6)
    assert fit_sparse_head(a, y, K, limit * 0.95).W.any()


@pytest.mark.parametrize("strength", [1e-3, 1e-2])
def test_it_is_the_librarys_elastic_net(strength: float) -> None:
    a, y = world()
    head = fit_sparse_head(a, y, 3, strength)
    model = LogisticRegression(
        l1_ratio=0.99, C=1 / (strength * len(a)), solver="saga", tol=1e-8, max_iter=50_000, random_state=0
    ).fit(a, y)
    np.testing.assert_allclose(head.W, model.coef_, atol=1e-3)
    # The library's stochastic solver may be above, never below.
    assert head.objective <= objective(a, y, model.coef_, model.intercept_, strength) + 1e-9


def test_without_a_penalty_it_is_plain_regression() -> None:
    a, y = world()
    head = fit_sparse_head(a, y, 3, 0.0)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=20_000).fit(a, y)
    np.testing.assert_allclose(softmax(a @ head.W.T + head.b, axis=1), model.predict_proba(a), atol=1e-3)


def test_two_classes_are_two_opposite_rows() -> None:
    a, y = world(K=2)
    head = fit_sparse_head(a, y, 2, 1e-3)
    np.testing.assert_array_equal(head.W[0], -head.W[1])
    np.testing.assert_array_equal(head.b[0], -head.b[1])


@settings(max_examples=30, deadline=None)
@given(
    w=st.floats(-3, 3), step=st.floats(0.01, 2), strength=st.floats(0, 2), alpha=st.sampled_from([0.0, 0.5, 0.99, 1.0])
)
def test_the_proximal_point_is_the_minimum_by_search(w: float, step: float, strength: float, alpha: float) -> None:
    def cost(u: float) -> float:
        return (u - w) ** 2 / 2 + step * strength * (alpha * abs(u) + (1 - alpha) / 2 * u**2)

    found = float(soften(np.array(w), step, strength, alpha))
    searched = minimize_scalar(cost, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x
    assert found == pytest.approx(searched, abs=1e-4)
    assert cost(found) <= min(cost(searched), cost(0.0)) + 1e-12


def test_a_path_goes_from_nothing_to_much_and_its_start_changes_nothing() -> None:
    a, y = world()
    path = fit_path(a, y, 3, values=12)
    assert not path[0].W.any()
    assert path[-1].per_class > 4
    alone = fit_sparse_head(a, y, 3, path[7].strength)
    np.testing.assert_allclose(path[7].W, alone.W, atol=1e-4)
    assert path[-1].strength == pytest.approx(path[0].strength / 1000)


def test_the_sparsest_head_that_is_as_good_is_chosen() -> None:
    a, y = world(n=400)
    held, held_y = world(n=800)
    held, held_y = held[400:], held_y[400:]
    path = fit_path(a, y, 3, values=30)
    best, sparse = (choose_sparse(path, held, held_y, errors) for errors in (0.0, 1.0))
    losses = [objective(held, held_y, head.W, head.b, 0.0) for head in path]
    assert best is path[int(np.argmin(losses))]
    assert sparse.strength >= best.strength
    assert sparse.per_class <= best.per_class
    assert sparse.W[:, :4].any()


def test_permuting_concepts_permutes_weights() -> None:
    a, y = world()
    order = np.random.default_rng(0).permutation(a.shape[1])
    head, permuted = fit_sparse_head(a, y, 3, 1e-3), fit_sparse_head(a[:, order], y, 3, 1e-3)
    np.testing.assert_allclose(permuted.W, head.W[:, order], atol=1e-3)


def test_a_class_without_examples_is_refused() -> None:
    with pytest.raises(OslerError, match=r"\[2\]"):
        fit_sparse_head(np.zeros((2, 1)), np.array([0, 1]), 3, 1e-3)
