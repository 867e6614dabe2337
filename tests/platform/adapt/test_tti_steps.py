"""The steps of `tti_reading`, each against a figure worked out by hand or by another route."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from osler.adapt.tti_steps import (
    agreements,
    choose_masked,
    claims,
    confusion,
    excess,
    rivals,
    significant,
    source_evidence,
)

World = Any


def test_the_rival_is_the_best_wrong_class():
    logits = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    np.testing.assert_array_equal(rivals(logits, np.array([0, 1])), [2, 0])


def test_excess_is_a_two_sample_z(world: World):
    source = world.pipeline.source
    values = np.tile(source.mean[0] + 2 * source.std[0], (4, 1))
    z = excess(values, np.zeros(4, int), source)
    np.testing.assert_allclose(z[0], 2 / np.sqrt(1 / 4 + 1 / source.counts[0]))
    assert np.isnan(z[1:]).all()


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_significance_is_the_step_up_procedure(z: list[float], fdr: float):
    p = np.sort(norm.sf(z))
    passing = np.flatnonzero(p <= fdr * np.arange(1, len(p) + 1) / len(p))
    bound = p[passing[-1]] if len(passing) else -1.0
    expected = norm.sf(z) <= bound
    close = np.isclose(p, fdr * np.arange(1, len(p) + 1) / len(p)).any()
    assert close or (significant(np.array(z), fdr) == expected).all()
    assert not significant(np.array([np.nan, np.nan]), fdr).any()


def test_confusion_counts_each_class_alike():
    weights, neutral = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.5])
    values = np.array([[0.5, 0.9], [0.5, 0.7], [0.5, 0.5], [0.9, 0.5]])
    y, rival = np.array([0, 0, 0, 1]), np.array([1, 1, 1, 0])
    flagged = np.array([[False, True], [False, True], [False, False], [True, False]])
    np.testing.assert_allclose(confusion(values, y, rival, weights, neutral, flagged), [0.4 / 2, 0.6 / 3 / 2])
    np.testing.assert_allclose(agreements(flagged, y, 3), [[0, 2 / 3], [1, 0], [0, 0]])


def test_the_costliest_concepts_are_masked_first_and_few_of_them():
    lost, agreed = np.array([0.1, 0.3, 0.3, 0.5, 0.0]), np.array([[0.5, 0.5, 0.5, 0.4, 1.0]])
    ids = ("e", "d", "c", "b", "a")
    pick = lambda share: choose_masked(lost, agreed, ids, agreement=0.5, share=share)
    np.testing.assert_array_equal(pick(0.1), [False, False, True, False, False])
    np.testing.assert_array_equal(pick(1.0), [True, True, True, False, False])


def test_source_evidence_agrees_with_its_definition():
    rng = np.random.default_rng(0)
    weights, means = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    evidence = source_evidence(weights, means)
    for k in range(3):
        others = [r for r in range(3) if r != k]
        expected = (weights[k] - weights[others].mean(axis=0)) * (means[k] - means[others].mean(axis=0))
        np.testing.assert_allclose(evidence[k], expected)
    claimed = claims(evidence, ("a", "b", "c", "d"), 0.5)
    assert (claimed.sum(axis=1) <= 2).all()
    assert (evidence[claimed] > 0).all()
