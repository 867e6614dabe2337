"""Shares of classes are found without labels, and probabilities follow them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm

from osler.bottleneck.corrections.prior_shift import PriorShift
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SOURCE = np.array([0.5, 0.3, 0.2])
PLACES = np.array([-1.5, 0.0, 2.0])


def draw(seed: int, shares: np.ndarray, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Draw classes of some shares and the exact posterior of the source for what they look like."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, rows, p=shares)
    x = rng.normal(PLACES[y], 1.0)
    joint = norm.pdf(x[:, None], PLACES) * SOURCE
    return y, joint / joint.sum(1, keepdims=True)


def reference() -> dict[str, np.ndarray]:
    return {"prior": SOURCE}


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 999))
def test_planted_shares_are_found(seed: int):
    shares = np.random.default_rng(seed).dirichlet([2, 2, 2])
    y, prob = draw(seed, shares)
    found = PriorShift(kappa=0).measure(prob, reference())["prior"]
    np.testing.assert_allclose(found, np.bincount(y, minlength=3) / len(y), atol=0.05)
    assert found.sum() == pytest.approx(1)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_site_like_the_source_is_left_alone(seed: int):
    _, prob = draw(seed, SOURCE)
    one = PriorShift()
    own = one.measure(prob, reference())
    np.testing.assert_allclose(own["prior"], SOURCE, atol=0.05)
    assert np.abs(one.match(prob, own, reference()) - prob).max() < 0.07
    np.testing.assert_allclose(one.measure(prob)["prior"], SOURCE, atol=0.03)


def test_probabilities_become_those_of_the_site():
    shares = np.array([0.1, 0.2, 0.7])
    y, prob = draw(1, shares, rows=20_000)
    one = PriorShift()
    got = one.match(prob, one.measure(prob, reference()), reference())
    exact = prob * shares / SOURCE
    np.testing.assert_allclose(got, exact / exact.sum(1, keepdims=True), atol=0.03)
    losses = [-np.log(some[np.arange(len(y)), y]).mean() for some in (prob, got)]
    assert losses[1] < losses[0] - 0.1
    assert (got.argmax(1) == y).mean() > (prob.argmax(1) == y).mean()


def test_em_reaches_the_maximum_of_the_likelihood():
    _, prob = draw(2, np.array([0.2, 0.5, 0.3]), rows=300)

    def loss(free: np.ndarray) -> float:
        return -float(np.log(prob @ (softmax([*free, 0.0]) / SOURCE)).sum())

    best = softmax([*minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).x, 0.0])
    np.testing.assert_allclose(PriorShift(kappa=0).measure(prob, reference())["prior"], best, atol=1e-4)


def test_few_studies_are_pulled_to_the_source_as_by_a_dirichlet_prior():
    sure = np.array([[0.0, 0.0, 1.0]])
    one = PriorShift(kappa=3)
    own = one.measure(sure, reference())
    np.testing.assert_allclose(own["prior"], (3 * SOURCE + [0, 0, 1]) / 4, atol=1e-6)
    np.testing.assert_array_equal(one.match(sure, own, reference()), sure)
    # Without it a class that one study does not show is gone; who is sure of it stays sure.
    none = PriorShift(kappa=0)
    gone = none.measure(sure, reference())
    np.testing.assert_allclose(gone["prior"], [0, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(none.match(np.array([[1.0, 0.0, 0.0]]), gone, reference()), [[1, 0, 0]])


def test_what_are_no_probabilities_or_shares_is_refused():
    one, fine = PriorShift(), np.full((4, 3), 1 / 3)
    for batch, prior in (
        (np.full((4, 3), 0.5), SOURCE),
        (np.full((4, 3), np.nan), SOURCE),
        (np.array([[1.5, -0.5, 0.0]]), SOURCE),
        (fine, np.array([0.5, 0.5])),
        (fine, np.array([0.5, 0.5, 0.0])),
    ):
        with pytest.raises(OslerError) as caught:
            one.measure(batch, {"prior": prior})
        assert caught.value.code is Code.MODEL_INVALID
    with pytest.raises(OslerError):
        one.measure(fine, {})
