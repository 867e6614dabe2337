"""The figures of M20.1 against closed forms and planted directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from osler.quality.learnability import learn, normalised_precision, split_by_patient
from osler.quality.stability import cosine, split_half, stability

SCORES = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(label for _, label in rows) < len(rows)
)


def arrays(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*rows, strict=True)
    return np.array(scores, float), np.array(labels, float)


@settings(max_examples=100, deadline=None)
@given(SCORES, st.integers(2, 5))
def test_copies_of_negatives_or_of_positives_change_nothing(rows: list[tuple[int, bool]], copies: int) -> None:
    scores, labels = arrays(rows)
    value = normalised_precision(scores, labels, 0.3)
    for label in (0, 1):
        more = np.repeat(np.arange(len(labels)), np.where(labels == label, copies, 1))
        assert normalised_precision(scores[more], labels[more], 0.3) == pytest.approx(value)


@settings(max_examples=100, deadline=None)
@given(SCORES)
def test_at_the_share_that_is_there_it_is_average_precision(rows: list[tuple[int, bool]]) -> None:
    scores, labels = arrays(rows)
    value = normalised_precision(scores, labels, labels.mean())
    assert value == pytest.approx(average_precision_score(labels, scores))


def test_a_perfect_ranker_has_one_and_a_constant_one_the_common_share() -> None:
    labels = np.array([1.0, 0, 1, 0, 0, 0])
    assert normalised_precision(labels, labels, 0.05) == pytest.approx(1.0)
    assert normalised_precision(np.zeros(6), labels, 0.05) == pytest.approx(0.05)


def world(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str], np.random.Generator]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12))
    patients = [f"p{number // 2}" for number in range(n)]
    return x, x[:, 0], patients, rng


def test_a_planted_concept_is_learnt_and_noise_is_not() -> None:
    x, signal, patients, rng = world()
    planted = learn(x, (signal > 0).astype(float), patients, prevalence=0.5, seed=0)
    noise = learn(x, rng.integers(0, 2, len(x)).astype(float), patients, prevalence=0.5, seed=0)
    assert planted.low > 0.9
    assert planted.low <= planted.nap <= planted.high
    assert noise.low < 0.5 < noise.high or abs(noise.nap - 0.5) < 0.1
    assert planted == learn(x, (signal > 0).astype(float), patients, prevalence=0.5, seed=0)


def test_too_few_answers_are_said_not_measured() -> None:
    x, _, patients, _ = world(60)
    one = learn(x, np.r_[np.ones(3), np.zeros(57)], patients, prevalence=0.5, seed=0)
    assert np.isnan(one.nap)
    assert "fewer than" in one.why_not


def test_a_patient_is_in_one_part() -> None:
    _, _, patients, _ = world(200)
    part = split_by_patient(patients, 3)
    assert all(len({part[i] for i, name in enumerate(patients) if name == one}) == 1 for one in set(patients))
    assert np.bincount(part).tolist() == pytest.approx([120, 40, 40], abs=4)


def test_identical_vectors_are_stable_and_opposed_ones_are_not() -> None:
    v = np.array([1.0, 2.0])
    assert cosine(v, 3 * v) == pytest.approx(1.0)
    assert cosine(v, -v) == pytest.approx(-1.0)
    assert cosine(v, np.zeros(2)) == 0.0


def test_a_concept_that_turns_at_the_other_site_is_unstable() -> None:
    x, signal, patients, _ = world(800)
    site = np.arange(800) >= 400
    same = stability(x, (signal > 0).astype(float), site)
    turned = stability(x, (np.where(site, x[:, 1], signal) > 0).astype(float), site)
    chance = split_half(x, (signal > 0).astype(float), np.array(patients), seed=0)
    assert same is not None
    assert turned is not None
    assert chance is not None
    assert same > 0.9
    assert abs(turned) < 0.5
    assert chance == pytest.approx(same, abs=0.1)
    assert stability(x, np.r_[np.zeros(400), np.ones(400)], site) is None
