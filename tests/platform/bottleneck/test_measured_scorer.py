"""What the scorer on measurements adds to a logistic one: one scale, stored values for gaps, an end for outliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from osler.bottleneck.records import Features
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

STANDARD = Standard(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.5, 1e-9]), np.array([0.0, -1.0, 0.5]), 3.0)


def scorer_of(ids: tuple[str, ...]) -> MeasuredScorer:
    weights = np.arange(3.0 * len(ids)).reshape(len(ids), 3) / 10
    return MeasuredScorer(ids, weights, np.linspace(-1, 1, len(ids)), STANDARD)


def test_values_are_standardised_as_written_down(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(2)
    scorer = scorer_of(bank.ids)
    values = np.array([[3.0, 2.5, 3.25], [np.nan, np.inf, -np.inf], [1e9, -1e9, 3.0]])
    z = np.array([[1.0, 1.0, 0.25], [0.0, -1.0, 0.5], [3.0, -3.0, 0.0]])
    np.testing.assert_allclose(STANDARD.apply(values), z)
    state = scorer.score(Features(values), bank)
    np.testing.assert_allclose(state.static, expit(z @ scorer.weights.T + scorer.intercept), atol=1e-12)


@given(seed=st.integers(0, 500), share=st.floats(0, 1))
@settings(max_examples=20)
def test_no_gap_ever_reaches_a_logit(make_bank: Callable[[int], ConceptBank], seed: int, share: float):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 10 ** rng.uniform(-3, 6), (5, 3))
    values[rng.random(values.shape) < share] = rng.choice([np.nan, np.inf, -np.inf])
    bank = make_bank(2)
    state = scorer_of(bank.ids).score(Features(values), bank)
    assert state.logit is not None
    assert np.isfinite(state.logit).all()
    assert ((state.static > 0) & (state.static < 1)).all()


def test_the_standard_of_a_source_is_its_median_and_its_quartiles_over_those_of_a_normal():
    rng = np.random.default_rng(0)
    values = rng.normal([5.0, 0.0, 1.0], [2.0, 1.0, 1.0], (20_000, 3))
    values[:, 2] = rng.random(20_000) < 0.1  # mostly one value: no quartiles apart
    values[:200, 0] = 1e6
    values[200:2000, 1] = np.nan
    found = Standard.of(values)
    np.testing.assert_allclose(found.centre, [5.0, 0.0, 0.0], atol=0.07)
    np.testing.assert_allclose(found.scale, [2.0, 1.0, 0.3], rtol=0.04)
    empty = Standard.of(np.full((4, 2), np.nan))
    np.testing.assert_array_equal(empty.apply(np.array([[7.0, np.nan]])), [[3.0, 0.0]])


def test_what_does_not_fit_is_refused(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(2)
    scorer = scorer_of(bank.ids)
    for call in (
        lambda: replace(STANDARD, fill=np.array([0.0, np.nan, 0.0])),
        lambda: replace(STANDARD, scale=np.ones(2)),
        lambda: replace(STANDARD, limit=0.0),
        lambda: replace(scorer, weights=np.ones((2, 4))),
        lambda: replace(scorer, weights=np.full((2, 3), np.nan)),
        lambda: replace(scorer, intercept=np.zeros(3)),
        lambda: scorer.score(Features(np.zeros((1, 4))), bank),
    ):
        with pytest.raises(OslerError) as caught:
            call()
        assert caught.value.code is Code.MODEL_INVALID
