"""The search of `tti_greedy` against the same search written out, one candidate at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from osler.adapt.tti_search import Candidates, LikelihoodSearch, balanced, folds

GAINS = (1.5, 2.0, 3.0)


def make(values: np.ndarray, weights: np.ndarray, neutral: np.ndarray, ids: tuple[str, ...]) -> Candidates:
    return Candidates.of(values, weights, ids, GAINS, neutral=neutral, masked_to=neutral, value_range=(0.0, 1.0))


def likelihood(values: np.ndarray, y: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> float:
    """Return the class-balanced mean log-likelihood."""
    each = log_softmax(values @ weights.T + bias, axis=1)[np.arange(len(y)), y]
    return float(np.mean([each[y == k].mean() for k in np.unique(y)]))


def written_out(
    values: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    neutral: np.ndarray,
    penalty: float,
    limit: int,
) -> list[tuple[int, float]]:
    """Return the edits (concept, gain; 0 for a mask) that the plain greedy search makes."""
    chosen: list[tuple[int, float]] = []
    now = values.copy()
    while len(chosen) < limit:
        best, found = penalty, None
        for c in range(values.shape[1]):
            if c in [one for one, _ in chosen]:
                continue
            for gain in (0.0, *GAINS):
                tried = now.copy()
                tried[:, c] = np.clip(neutral[c] + gain * (values[:, c] - neutral[c]), 0, 1)
                gained = likelihood(tried, y, weights, bias) - likelihood(now, y, weights, bias)
                if gained > best:
                    best, found = gained, (c, gain, tried)
        if found is None:
            break
        chosen.append(found[:2])
        now = found[2]
    return chosen


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), concepts=st.integers(1, 8), classes=st.integers(2, 4), per_class=st.integers(1, 4))
def test_many_searches_at_once_are_the_plain_search_of_each(seed: int, concepts: int, classes: int, per_class: int):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), per_class)
    values, neutral = rng.uniform(size=(len(y), concepts)), rng.uniform(0.3, 0.7, size=concepts)
    weights, bias = 4 * rng.normal(size=(classes, concepts)), rng.normal(size=classes)
    ids = tuple(f"c{number}" for number in range(concepts))
    candidates = make(values, weights, neutral, ids)
    everyone = np.ones(len(y), np.bool_)
    kept = np.concatenate([everyone[None], folds(y, everyone, 8)])
    search = LikelihoodSearch(values @ weights.T + bias, y, candidates, penalty=0.01)
    allowed = np.ones((len(kept), len(candidates.gain)), np.bool_)
    found = search.search(kept, allowed, np.full(len(kept), 3))
    for rows, one in zip(kept, found, strict=True):
        edits = [(int(candidates.concept[m]), 0.0 if candidates.mask[m] else candidates.gain[m]) for m in one.chosen]
        assert edits == written_out(values[rows], y[rows], weights, bias, neutral, 0.01, 3)
        for m, gain in zip(one.chosen[:1], one.gains, strict=False):
            edited = values.copy()
            factor = 0.0 if candidates.mask[m] else candidates.gain[m]
            c = candidates.concept[m]
            edited[:, c] = np.clip(neutral[c] + factor * (values[:, c] - neutral[c]), 0, 1)
            before, after = (likelihood(v[rows], y[rows], weights, bias) for v in (values, edited))
            np.testing.assert_allclose(gain, after - before, atol=1e-9)


def test_of_two_concepts_that_help_alike_the_first_by_identifier_is_taken():
    y = np.array([0, 0, 1, 1])
    one = np.array([0.9, 0.9, 0.8, 0.8])
    values, neutral = np.stack([one, one], axis=1), np.full(2, 0.5)
    weights = np.array([[0.0, 0.0], [3.0, 3.0]])
    for ids, first in ((("a", "b"), 0), (("b", "a"), 1)):
        candidates = make(values, weights, neutral, ids)
        search = LikelihoodSearch(values @ weights.T, y, candidates, penalty=0.01)
        found = search.search(np.ones((1, 4), np.bool_), np.ones((1, 8), np.bool_), np.array([1]))[0]
        assert candidates.concept[found.chosen[0]] == first


def test_only_what_is_allowed_is_chosen_and_no_concept_twice():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 4)
    values, neutral, weights = rng.uniform(size=(8, 6)), np.full(6, 0.5), 6 * rng.normal(size=(2, 6))
    candidates = make(values, weights, neutral, tuple("abcdef"))
    allowed = np.stack([candidates.mask, ~candidates.mask, np.zeros(24, np.bool_)])
    search = LikelihoodSearch(values @ weights.T, y, candidates, penalty=-10.0)
    masks, gains, nothing = search.search(np.ones((3, 8), np.bool_), allowed, np.array([9, 9, 9]))
    assert sorted(candidates.concept[list(masks.chosen)]) == list(range(6))
    assert candidates.mask[list(masks.chosen)].all()
    assert sorted(candidates.concept[list(gains.chosen)]) == list(range(6))
    assert not candidates.mask[list(gains.chosen)].any()
    assert nothing.chosen == ()
    assert search.search(np.ones((1, 8), np.bool_), allowed[:1], np.array([0]))[0].chosen == ()


def test_logits_that_no_exponential_holds_are_compared_all_the_same():
    y = np.array([0, 1])
    values, neutral = np.array([[1.0, 0.5], [1.0, 0.5]]), np.array([0.0, 0.5])
    weights = np.array([[0.0, 0.0], [4000.0, 0.0]])
    candidates = make(values, weights, neutral, ("a", "b"))
    bias = np.array([2000.0, 0.0])
    search = LikelihoodSearch(values @ weights.T + bias, y, candidates, penalty=0.01)
    found = search.search(np.ones((1, 2), np.bool_), np.ones((1, 8), np.bool_), np.array([1]))[0]
    # Without the concept class 0 wins by 2000 where class 1 did: the one loss is as large as the other, nothing is gained.
    assert found.chosen == ()
    late = LikelihoodSearch(values @ weights.T, y, candidates, penalty=0.01)
    chosen = late.search(np.ones((1, 2), np.bool_), np.ones((1, 8), np.bool_), np.array([1]))[0]
    assert candidates.mask[chosen.chosen[0]]
    np.testing.assert_allclose(chosen.gains[0], 2000 - np.log(2))


@settings(max_examples=50)
@given(y=st.lists(st.integers(0, 3), min_size=1, max_size=30), most=st.integers(2, 8))
def test_folds_leave_each_shot_out_once_save_the_only_one_of_a_class(y: list[int], most: int):
    labels = np.array(y)
    everyone = np.ones(len(y), np.bool_)
    kept = folds(labels, everyone, most)
    counts = np.bincount(labels)[labels]
    np.testing.assert_array_equal((~kept).sum(axis=0), counts > 1)
    assert len(kept) == (min(most, counts.max()) if counts.max() > 1 else 0)
    for fold in kept:
        assert set(labels[fold]) == set(y)
        if counts.max() <= most:
            assert (np.bincount(labels[~fold], minlength=1) <= 1).all()
        again = folds(labels, fold, most)
        assert not (again & ~fold).any()
    weight = balanced(kept, labels)
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    for row in weight:
        np.testing.assert_allclose([row[labels == k].sum() for k in np.unique(labels)], 1 / len(set(y)))
