"""Prediction sets against the closed form of their coverage, and against studies whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import beta, kstest

from osler.calibrate.conformal import fit_sets, reached_coverage, studies_needed, threshold_of
from osler.calibrate.words import GROUP, abstention, coverage_sentence
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CLASSES = ("cyst", "naevus", "melanoma")
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def draw(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities of an overconfident model and the truth; a shift pulls logits towards the first class."""
    y = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    centre = np.array([2.0, 2.0, 1.0])[y][:, None] * np.eye(3)[y] + np.array([shift, 0.0, 0.0])
    return softmax(2.5 * (centre + rng.normal(size=(n, 3))), axis=1), y


def covered(probabilities: np.ndarray, y: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return 1 - probabilities[np.arange(len(y)), y] <= thresholds[y]


def thresholds_of(p: np.ndarray, y: np.ndarray, coverage: float, method: str) -> np.ndarray:
    sets = fit_sets(p, y, CLASSES, coverage=coverage, method=method)
    return np.array([sets.thresholds[one] for one in CLASSES])


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 300), coverage=st.floats(0.5, 0.98), seed=st.integers(0, 99))
def test_the_threshold_is_the_order_statistic_of_the_proof(n: int, coverage: float, seed: int):
    left_out = math.floor((n + 1) * (1 - coverage) + 1e-9)
    if left_out < 1:
        assert n < studies_needed(coverage)
        with pytest.raises(OslerError, match=str(studies_needed(coverage))) as caught:
            reached_coverage(n, coverage)
        assert caught.value.code is Code.SUPPORT_INSUFFICIENT
        return
    assert n >= studies_needed(coverage)
    scores = np.random.default_rng(seed).uniform(size=n)
    assert threshold_of(scores, coverage) == np.sort(scores)[n - left_out]


@pytest.mark.parametrize(("coverage", "needed"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_how_many_studies_a_coverage_needs(coverage: float, needed: int):
    assert studies_needed(coverage) == needed


@pytest.mark.parametrize(("method", "n"), [("lac", 60), ("lac", 200), ("class-conditional", 250)])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_over_calibration_draws_is_the_one_that_was_asked_for(method: str, coverage: float, n: int):
    rng = np.random.default_rng(n)
    reached = np.empty((120, 3))
    whole = np.empty(120)
    for number in range(120):
        p, y = draw(rng, n)
        test, truth = draw(rng, 1000)
        hit = covered(test, truth, thresholds_of(p, y, coverage, method))
        whole[number] = hit.mean()
        reached[number] = [hit[truth == k].mean() for k in range(3)]
    if method == "lac":
        assert coverage - 0.005 <= whole.mean() <= coverage + 0.02
        assert reached.mean(axis=0).min() < coverage - 0.02  # together is not each
    else:
        # A class of few studies is covered more than asked, by (n + 1 - l) / (n + 1) of its own number.
        assert (reached.mean(axis=0) >= coverage - 0.01).all()
        assert reached.mean(axis=0)[0] <= coverage + 0.02


def test_the_coverage_reached_follows_the_beta_of_its_closed_form():
    rng = np.random.default_rng(5)
    n, coverage = 40, 0.9
    reached = reached_coverage(n, coverage)
    law = beta(n + 1 - reached.left_out, reached.left_out)
    # Scores are uniform, so that the coverage reached is the threshold itself.
    draws = np.array([threshold_of(rng.uniform(size=n), coverage) for _ in range(500)])
    assert kstest(draws, law.cdf).pvalue > 0.01
    assert draws.mean() == pytest.approx(reached.mean, abs=0.006)
    assert np.mean((draws >= reached.low) & (draws <= reached.high)) == pytest.approx(0.95, abs=0.03)
    # Vovk 2012: with n = 9 and 90% one score of ten is left out, the greatest: Beta(9, 1), whose cdf is x^9.
    nine = reached_coverage(9, 0.9)
    assert (nine.low, nine.high) == pytest.approx((0.025 ** (1 / 9), 0.975 ** (1 / 9)))


def test_a_shifted_site_is_under_covered_by_the_source_and_mended_by_its_own_studies():
    rng = np.random.default_rng(8)
    source, site = [], []
    for _ in range(150):
        test, truth = draw(rng, 1000, shift=1.5)
        for kept, shift in ((source, 0.0), (site, 1.5)):
            thresholds = thresholds_of(*draw(rng, 120, shift=shift), 0.9, "lac")
            kept.append(covered(test, truth, thresholds).mean())
    assert np.mean(source) < 0.85
    assert 0.88 <= np.mean(site) <= 0.92


def test_sets_by_class_are_chosen_where_each_class_has_a_hundred():
    rng = np.random.default_rng(0)
    p, y = draw(rng, 900)
    assert fit_sets(p, y, CLASSES, coverage=0.9).method == "class-conditional"
    assert [one.of for one in fit_sets(p, y, CLASSES, coverage=0.9).reached] == list(CLASSES)
    few = fit_sets(p[:90], y[:90], CLASSES, coverage=0.9)
    assert few.method == "lac"
    assert len(set(few.thresholds.values())) == 1
    with pytest.raises(OslerError, match="melanoma") as caught:
        fit_sets(p[y < 2][:90], y[y < 2][:90], CLASSES, coverage=0.9, method="class-conditional")
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT
    for wrong in ({"coverage": 1.0}, {"coverage": 0.9, "method": "raps"}):
        with pytest.raises(OslerError) as caught:
            fit_sets(p, y, CLASSES, **wrong)
        assert caught.value.code is Code.USAGE


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_set_holds_the_classes_above_one_minus_the_threshold(seed: int):
    rng = np.random.default_rng(seed)
    sets = fit_sets(*draw(rng, 50), CLASSES, coverage=0.8)
    one = dict(zip(CLASSES, draw(rng, 1)[0][0], strict=True))
    held = sets.of(one)
    assert held == tuple(name for name in CLASSES if one[name] >= 1 - sets.thresholds[name])
    assert fit_sets(*draw(np.random.default_rng(seed), 50), CLASSES, coverage=0.8) == sets


def test_the_words_say_whom_the_coverage_is_of_and_when_nothing_is_known():
    rng = np.random.default_rng(1)
    few, many = (fit_sets(*draw(rng, n), CLASSES, coverage=0.9, method="lac") for n in (40, 500))
    assert coverage_sentence(few, "c").endswith(GROUP)
    assert "40 calibration studies" in coverage_sentence(few, "c")
    assert "calibration studies" not in coverage_sentence(many, "c").replace(GROUP, "")
    assert abstention(("cyst",)) == ""
    assert abstention(()) == "I do not know: this study is unlike the calibration studies of every class."
    assert "cyst, naevus and melanoma cannot be told apart" in abstention(CLASSES)
