"""The head with a prior: closed limits, scikit-learn, permutations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from osler_contracts.errors import OslerError
from osler_training.fit.prior_head import HeadRule, fit_head


def world(seed: int = 0, n: int = 300, C: int = 12, K: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concept values in [0, 1], classes drawn from a known softmax, and the signs of its weights as prior."""
    rng = np.random.default_rng(seed)
    a, W = rng.random((n, C)), rng.normal(size=(K, C)) * 4
    W -= W.mean(0)
    logits = (a - 0.5) @ W.T  # centred, so that no class is rare
    y = (logits + rng.gumbel(size=(n, K))).argmax(1)
    return a, y, np.where(np.abs(W) < 0.8, 0, np.sign(W)).astype(int)


@pytest.mark.parametrize("C_l2", [0.1, 1.0, 100.0])
def test_without_prior_it_is_multinomial_logistic_regression(C_l2: float) -> None:
    a, y, P = world()
    head = fit_head(a, y, P.tolist(), HeadRule(strength=0, C=C_l2, tolerance=1e-8))
    model = LogisticRegression(C=C_l2, tol=1e-10, max_iter=20_000).fit(a, y)
    np.testing.assert_allclose(head.W, model.coef_, atol=1e-3)
    assert head.b == pytest.approx(model.intercept_ - model.intercept_.mean(), abs=1e-3)


def test_two_classes_are_two_rows_whose_difference_is_the_binary_fit() -> None:
    a, y, P = world(K=2)
    head = fit_head(a, y, P.tolist(), HeadRule(strength=0, C=2.0, tolerance=1e-8))
    # Two rows of +-w/2 have half the penalty of one row w.
    model = LogisticRegression(C=4.0, tol=1e-10, max_iter=20_000).fit(a, y)
    assert head.W[1] - head.W[0] == pytest.approx(model.coef_[0], abs=1e-3)
    assert head.W[0] == pytest.approx(-head.W[1], abs=1e-6)


def test_a_strong_prior_gives_its_signs_and_saturates() -> None:
    a, y, P = world()
    head = fit_head(a, y, P.tolist(), HeadRule(strength=1e4))
    assert np.array_equal(np.sign(head.W)[P != 0], P[P != 0])
    assert np.tanh(head.W)[P != 0] == pytest.approx(P[P != 0], abs=0.01)
    assert head.W[P == 0] == pytest.approx(0, abs=1e-4)


def test_a_prior_against_the_data_flips_the_weight() -> None:
    a, y, P = world()
    free = fit_head(a, y, P.tolist(), HeadRule(strength=0)).W
    k, c = np.unravel_index(np.abs(free).argmax(), free.shape)
    wrong = P.copy()
    wrong[k, c] = -np.sign(free[k, c])
    pulled = fit_head(a, y, wrong.tolist(), HeadRule(strength=100.0)).W
    assert np.sign(pulled[k, c]) == -np.sign(free[k, c])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_permuting_concepts_permutes_weights(seed: int) -> None:
    a, y, P = world(seed)
    order = np.random.default_rng(seed).permutation(a.shape[1])
    head, permuted = fit_head(a, y, P.tolist()), fit_head(a[:, order], y, P[:, order].tolist())
    np.testing.assert_allclose(permuted.W, head.W[:, order], atol=5e-3)
    assert permuted.b == pytest.approx(head.b, abs=5e-3)


def test_unknown_links_are_free_or_pulled_to_zero() -> None:
    a, y, P = world()
    links: list[list[int | None]] = P.tolist()
    links[0][3] = None
    free = fit_head(a, y, links, HeadRule(strength=50.0)).W[0, 3]
    pulled = fit_head(a, y, links, HeadRule(strength=50.0, unknown="pull")).W[0, 3]
    assert abs(pulled) < 1e-3
    assert abs(free) > 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["free", "pull"]))
def test_no_step_from_the_fit_lowers_the_loss_as_it_is_written(seed: int, unknown: str) -> None:
    """The loss of M1.4 written out, at the fit and at steps around it; entries drawn to zero are exactly zero, or not."""
    a, y, P = world(seed, n=120, C=6)
    rng = np.random.default_rng(seed)
    links: list[list[int | None]] = [[None if rng.random() < 0.2 else int(v) for v in row] for row in P]
    rule = HeadRule(strength=2.0, unknown=unknown, tolerance=1e-7)  # type: ignore[arg-type]
    known = np.array([[v is not None for v in row] for row in links]) | (unknown == "pull")
    signs = np.array([[v or 0 for v in row] for row in links])

    def loss(W: np.ndarray, b: np.ndarray) -> float:
        ce = log_loss(y, softmax(a @ W.T + b, axis=1), labels=range(len(W)))
        prior = (known * np.abs(np.tanh(W) - signs)).mean()
        return float(ce + rule.strength * prior + (W**2).sum() / (2 * len(y) * rule.C))

    head = fit_head(a, y, links, rule)
    least = loss(head.W, head.b)
    assert head.loss == pytest.approx(least, abs=1e-9)
    for scale in (1e-1, 1e-2, 1e-3):
        W, b = head.W + scale * rng.normal(size=head.W.shape), head.b + scale * rng.normal(size=head.b.shape)
        assert loss(W, b) >= least - 1e-9


def test_weights_of_examples_are_repetitions() -> None:
    a, y, P = world(n=60)
    counts = np.random.default_rng(2).integers(1, 4, len(y))
    rule = HeadRule(C=1.0, tolerance=1e-8)
    repeated = fit_head(np.repeat(a, counts, axis=0), np.repeat(y, counts), P.tolist(), rule)
    # The ridge goes by the number of examples: the same weight takes C times the mean repetition.
    weighted = fit_head(a, y, P.tolist(), HeadRule(C=counts.mean(), tolerance=1e-8), weights=counts / counts.mean())
    np.testing.assert_allclose(weighted.W, repeated.W, atol=1e-4)


def test_one_concept_is_enough() -> None:
    a = np.array([[0.1], [0.2], [0.8], [0.9]])
    head = fit_head(a, np.array([0, 0, 1, 1]), [[-1], [1]])
    assert ((a @ head.W.T + head.b).argmax(1) == [0, 0, 1, 1]).all()


def test_the_fit_is_the_same_each_time() -> None:
    a, y, P = world()
    first, second = fit_head(a, y, P.tolist()), fit_head(a, y, P.tolist())
    assert np.array_equal(first.W, second.W)


def test_a_class_without_examples_is_refused() -> None:
    with pytest.raises(OslerError, match=r"\[2\]"):
        fit_head(np.zeros((2, 1)), np.array([0, 1]), [[0], [0], [0]])
