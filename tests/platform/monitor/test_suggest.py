"""The list of studies to label: diverse, repeatable, near the best, and better to adapt with than a random one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from osler.monitor.suggest import EQUAL, similarities, suggest


def covers(s: np.ndarray, rows: list[int]) -> float:
    return float(s[:, rows].max(axis=1).mean())


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_greedy_choice_comes_near_the_best_list(seed: int):
    values = np.random.default_rng(seed).normal(size=(14, 3))
    s = similarities(values)
    listed = suggest(values, np.zeros(14, np.intp), 3)
    best = max(covers(s, list(rows)) for rows in combinations(range(14), 3))
    assert covers(s, [one.row for one in listed]) >= (1 - 1 / np.e) * best
    assert sum(one.gain for one in listed) == pytest.approx(covers(s, [one.row for one in listed]))
    gains = [one.gain for one in listed]
    assert (np.diff(gains) <= EQUAL).all()  # of one class, a later study never adds more
    assert sum(one.represents for one in listed) == 14


def test_similarity_is_one_with_itself_and_falls_with_distance():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 4)) * [1, 10, 100, 0]
    s = similarities(values)
    np.testing.assert_allclose(np.diag(s), 1.0)
    np.testing.assert_allclose(s, s.T)
    scaled = (values - values.mean(axis=0)) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    middle = np.median(distance[np.triu_indices(30, 1)])
    np.testing.assert_allclose(s, np.exp(-distance / middle), atol=1e-9)
    np.testing.assert_array_equal(similarities(np.ones((3, 2))), np.ones((3, 3)))


def test_a_list_is_balanced_diverse_and_the_same_again():
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [8, 0], [0, 8], [8, 8]])
    values = np.repeat(centres, [60, 20, 20, 20], axis=0) + rng.normal(size=(120, 2)) * 0.3
    predicted = np.repeat([0, 0, 1, 1], [60, 20, 20, 20])
    listed = suggest(values, predicted, 4)
    rows = [one.row for one in listed]
    assert sorted(np.searchsorted([60, 80, 100], rows, side="right")) == [0, 1, 2, 3]  # one of each cluster
    assert [int(predicted[row]) for row in rows] == [0, 1, 0, 1]
    assert suggest(values, predicted, 4) == listed
    order = rng.permutation(120)
    again = [int(order[one.row]) for one in suggest(values[order], predicted[order], 4)]
    # Studies, not rows: another order changes no more than which of two as good as equal is taken.
    assert covers(similarities(values), again) == pytest.approx(covers(similarities(values), rows), abs=5 * EQUAL)
    # What was labelled is represented: the next of that class lies elsewhere, and the other class comes first.
    labels = [0 if row == rows[0] else None for row in range(120)]
    following = [one.row for one in suggest(values, predicted, 3, labels=labels)]
    assert predicted[following[0]] == 1
    assert all(row >= 60 for row in following)
    everyone = suggest(values[:5], predicted[:5], 9)
    assert sorted(one.row for one in everyone) == [0, 1, 2, 3, 4]
    assert suggest(values, predicted, 2, labels=[0] * 120) == ()


def planted(seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray, np.ndarray]:
    """Return a generator, class means, and the shift and gain that a site adds to the concepts."""
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(3), 4)
    means = np.where(own == np.arange(3)[:, None], 1.1, -0.85) + rng.uniform(-0.15, 0.15, (3, 12))
    shift, gain = np.zeros(12), np.ones(12)
    shift[rng.permutation(12)[:4]] = rng.choice([-2, 2], 4)
    gain[rng.permutation(12)[:3]] = 0.4
    return rng, means, shift, gain


def test_labelling_the_list_adapts_better_than_labelling_at_random():
    won, lists, randoms = [], [], []
    own = np.where(np.repeat(np.arange(3), 4) == np.arange(3)[:, None], 1.0, -0.5)
    for seed in range(40):
        rng, means, shift, gain = planted(seed)
        y, test_y = rng.choice(3, 250, p=[0.7, 0.2, 0.1]), np.arange(450) % 3
        values, test = ((means[k] + rng.normal(size=(len(k), 12))) * gain + shift for k in (y, test_y))
        predicted = softmax((values - means.mean(axis=0)) @ own.T, axis=1).argmax(axis=1)  # the source's model

        def accuracy(rows, values=values, y=y, test=test, test_y=test_y) -> float:
            model = LogisticRegression(class_weight="balanced").fit(values[rows], y[rows])
            return float((model.predict(test) == test_y).mean())

        lists.append(accuracy([one.row for one in suggest(values, predicted, 12)]))
        chance = [rng.choice(250, 12, replace=False) for _ in range(5)]
        randoms.append(float(np.mean([accuracy(rows) for rows in chance if len(set(y[rows])) > 1])))
        won.append(lists[-1] > randoms[-1])
    assert np.mean(lists) - np.mean(randoms) > 0.05
    assert np.mean(won) > 0.9
