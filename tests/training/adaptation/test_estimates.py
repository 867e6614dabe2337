"""Figures of a bench against scikit-learn, SciPy and statsmodels, and against what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from osler_training.adaptation.aurocs import ConceptTruth, auroc
from osler_training.adaptation.estimates import Resampling, harm, lower_bound, overtaken_from, upper_bound


def resampling(y: np.ndarray, replicates: int = 400) -> Resampling:
    """A bootstrap in which each study is its own patient."""
    return Resampling(y, [str(row) for row in range(len(y))], 1, replicates)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [50, 20, 10])
    predicted = np.stack([np.where(rng.random(80) < 0.7, y, rng.integers(0, 3, 80)) for _ in range(5)])
    r = resampling(y)
    expected = [balanced_accuracy_score(y, one) for one in predicted]
    assert r.each(predicted == y) == pytest.approx(expected)
    assert r.accuracy(predicted == y).value == pytest.approx(np.mean(expected))
    assert r.recalls(predicted == y).mean(1) == pytest.approx(expected)


def test_each_replicate_is_a_balanced_accuracy_of_the_patients_that_it_drew() -> None:
    y = np.repeat([0, 1], [6, 3])
    r = resampling(y)
    assert r.weights.sum(1) == pytest.approx(np.ones(400))
    right = np.ones((3, 9), bool)
    assert r.accuracy(right).replicates == pytest.approx(np.ones(400))


def test_intervals_cover_draws_and_patients() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(120):
        y = np.repeat([0, 1], 40)
        easy = rng.normal(size=80)  # a patient is easy for all draws, a draw good for all patients
        good = rng.normal(size=(12, 1)) * 0.5
        right = easy + good + rng.normal(size=(12, 80)) > -0.5
        low, high = Resampling(y, [str(row) for row in range(80)], seed, 200).accuracy(right).ci
        # P(N(0, 1 + 0.25 + 1) > -0.5)
        covered += low <= 0.6306 <= high
    assert covered >= 105


def test_a_gain_over_itself_is_nothing_and_a_constant_gain_has_no_width_of_patients() -> None:
    y = np.repeat([0, 1], 20)
    r = resampling(y)
    before = np.random.default_rng(0).random((1, 40)) < 0.5
    gain = r.accuracy(np.repeat(before, 7, axis=0)).minus(r.accuracy(before))
    assert gain.value == pytest.approx(0, abs=1e-12)
    assert gain.replicates == pytest.approx(np.zeros(400), abs=1e-12)


@given(st.integers(0, 200), st.integers(1, 200))
def test_bounds_are_clopper_pearson(hits: int, draws: int) -> None:
    hits = min(hits, draws)
    assert upper_bound(hits, draws) == pytest.approx(1.0 if hits == draws else beta.ppf(0.95, hits + 1, draws - hits))
    assert lower_bound(hits, draws) == pytest.approx(0.0 if hits == 0 else beta.ppf(0.05, hits, draws - hits + 1))


def test_harm_is_more_than_the_margin() -> None:
    after = np.array([0.50, 0.49, 0.489, 0.6])
    assert harm(after, 0.5, 0.01) == (1, 4)  # one point less is not more than one point less
    assert harm(after, 0.5, 0.0) == (2, 4)


def test_a_rival_overtakes_where_it_stays_ahead() -> None:
    ours = {1: 0.5, 2: 0.5, 4: 0.5, 8: 0.5}
    assert overtaken_from(ours, {1: 0.6, 2: 0.4, 4: 0.55, 8: 0.7}) == 4
    assert overtaken_from(ours, {1: 0.6, 2: 0.6, 4: 0.6, 8: 0.4}) is None
    assert overtaken_from(ours, {1: 0.6, 2: 0.6, 4: 0.6, 8: 0.6}) == 1
    assert overtaken_from(ours, {}) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_concept_auroc_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(30, 3)), 1)  # with ties
    answers = rng.integers(0, 2, (30, 3)).astype(float)
    answers[:2] = [[0] * 3, [1] * 3]
    answers[5:9, 1] = np.nan
    truth = ConceptTruth.of(answers)
    assert truth is not None
    known = [~np.isnan(answers[:, c]) for c in range(3)]
    expected = np.mean([roc_auc_score(answers[known[c], c], values[known[c], c]) for c in range(3)])
    assert truth.macro(values) == pytest.approx(expected)
    values[:, 0] = 0.3  # a masked concept tells nothing
    rest = np.mean([roc_auc_score(answers[known[c], c], values[known[c], c]) for c in (1, 2)])
    assert truth.macro(values) == pytest.approx((2 * rest + 0.5) / 3)
    assert auroc(values[:, 0], answers[:, 0] == 1) == 0.5


def test_concepts_that_nobody_knows_both_ways_are_not_scored() -> None:
    assert ConceptTruth.of(np.array([[1.0, np.nan], [1.0, np.nan]])) is None
