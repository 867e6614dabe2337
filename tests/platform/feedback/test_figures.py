"""Agreement against scikit-learn, Krippendorff's own example, closed forms and planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from osler.feedback.figures import cohen_kappa, drawn, figure, krippendorff_alpha, share

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
OBSERVERS = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
answers = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=30)


@given(answers)
@settings(max_examples=80, deadline=None)
def test_kappa_is_that_of_scikit_learn_also_under_weights(rows: list[tuple[int, int, int]]) -> None:
    first, second, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = cohen_kappa(first, second, np.stack([np.ones(len(rows)), weights]).astype(float))
    for got, weight in zip(found, (None, weights), strict=True):
        if weight is not None and not weight.any():
            assert np.isnan(got)
            continue
        seen = np.ones(len(rows), bool) if weight is None else weight > 0
        if len({*first[seen], *second[seen]}) == 1:
            assert np.isnan(got)
        else:
            assert got == pytest.approx(cohen_kappa_score(first, second, sample_weight=weight))


def test_alpha_is_that_of_krippendorffs_example() -> None:
    lines = [line.split() for line in OBSERVERS.split("\n") if line]
    ratings = np.array([[-1 if one == "." else int(one) - 1 for one in line] for line in lines]).T
    found = krippendorff_alpha(ratings, np.ones((1, 12)))
    assert found[0] == pytest.approx(0.743, abs=5e-4)


@given(answers)
@settings(max_examples=60, deadline=None)
def test_a_weight_is_as_many_copies_and_order_does_not_matter(rows: list[tuple[int, int, int]]) -> None:
    ratings = np.array([(a, b, a if c % 2 else -1) for a, b, c in rows])
    weights = np.array([c for *_, c in rows], float)
    copies = np.repeat(ratings, weights.astype(int), axis=0)[::-1]
    found = krippendorff_alpha(ratings, weights[None])
    if len(copies):
        np.testing.assert_allclose(found, krippendorff_alpha(copies[:, ::-1], np.ones((1, len(copies)))))


def test_patients_are_drawn_whole_and_a_seed_repeats() -> None:
    weights = drawn(["p", "q", "p", "r"], seed=3, replicates=50)
    assert weights.shape == (51, 4)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[1:, [0, 1, 3]].sum(1) == 3).all()
    np.testing.assert_array_equal(weights, drawn(["p", "q", "p", "r"], seed=3, replicates=50))
    assert drawn([], seed=0, replicates=2).shape == (3, 0)


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    hits = (np.arange(400) < 120).astype(float)
    found = figure(share(hits, drawn([str(n) for n in range(400)], seed=0, replicates=4000)), 400)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert found.value == 0.3
    assert (found.low, found.high) == (pytest.approx(0.3 - half, abs=0.005), pytest.approx(0.3 + half, abs=0.005))


def test_what_is_not_defined_is_none_and_never_a_number() -> None:
    same = np.zeros(5, int)
    found = figure(cohen_kappa(same, same, np.ones((3, 5))), 5)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 5)
