"""Purity, niches and alignment on representations of which we know what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import homogeneity_score

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.impurity import (
    Represented,
    alignment,
    homogeneity,
    medoids,
    niche_impurity,
    oracle_impurity,
    represented,
)
from osler_training.evaluate.probes import fit_network, patient_folds

N, C = 200, 4


def planted(kind: str, n: int = N, missing: float = 0.0) -> Represented:
    """Build representations that are pure, copies of one concept, noise, or also tell of the next concept."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, (n, C)).astype(float)
    noise = 0.7 * draw.normal(size=(n, C))
    values = {
        "truth": truth,
        "copies": np.tile(truth[:, :1], (1, C)),
        "noisy": truth + noise,
        "leaky": truth + noise + 0.8 * np.roll(truth, -1, axis=1),
        "random": noise,
        # A vector each: its own concept, and noise or the next concept.
        "wide": np.stack([truth + noise, draw.normal(size=(n, C))], axis=2),
        "wide leaky": np.stack([truth + noise, np.roll(truth, -1, axis=1) + noise], axis=2),
    }[kind]
    truth = np.where(draw.random(truth.shape) < missing, np.nan, truth)
    return represented(values, truth, [f"p{i // 2}" for i in range(n)], [f"c{j}" for j in range(C)])


def ois(kind: str, **options: float) -> float:
    return oracle_impurity(planted(kind, **options), seed=0, replicates=2).score.value  # type: ignore[arg-type]


def test_true_concepts_are_pure_and_copies_are_not() -> None:
    pure = oracle_impurity(planted("truth"), seed=0, replicates=20)
    assert pure.score.value == 0
    assert pure.score.ci == (0, 0)
    np.testing.assert_array_equal(np.diag(pure.from_values), 1)
    copies = oracle_impurity(planted("copies"), seed=0, replicates=20)
    assert copies.score.value > 0.5
    assert copies.score.ci[0] > 0.3
    # Of a copy, only the first concept is foretold: A has ones in its first column and chance elsewhere.
    assert copies.from_values[:, 0] == pytest.approx(np.ones(C))
    assert copies.from_values[:, 1:].mean() == pytest.approx(0.5, abs=0.06)


def test_knowing_the_next_concept_is_impure() -> None:
    noisy, leaky = ois("noisy"), ois("leaky")
    assert leaky > noisy + 0.05
    assert ois("wide leaky") > ois("wide") + 0.2
    drawn = oracle_impurity(planted("leaky"), seed=0, replicates=30).score
    assert drawn.ci[0] < drawn.value < drawn.ci[1]
    assert ois("noisy", missing=0.2) == pytest.approx(noisy, abs=0.12)


def test_impurity_is_the_same_by_seed() -> None:
    first, second = (oracle_impurity(planted("leaky"), seed=3, replicates=3) for _ in range(2))
    assert first.score.value == second.score.value
    np.testing.assert_array_equal(first.score.replicates, second.score.replicates)


def test_without_its_niche_a_pure_concept_is_foretold_by_chance() -> None:
    pure = niche_impurity(planted("truth", n=600), seed=0, replicates=20)
    assert pure.value == pytest.approx(0.5, abs=0.04)
    assert pure.ci[0] < pure.value < pure.ci[1]
    doubled = planted("truth", n=600)
    # Two concepts that always go together foretell each other until the threshold takes both away, which it does at once.
    twin = Represented(
        doubled.values[:, [0, 0, 1]], doubled.truth[:, [0, 0, 1]], doubled.patients, ("c0", "twin", "c1"), ()
    )
    assert niche_impurity(twin, seed=0, replicates=2).value == pytest.approx(0.5, abs=0.05)
    # Where the next representation knows a third of it, weakly enough to stay outside the niche, it leaks.
    assert niche_impurity(planted("leaky", n=600), seed=0, replicates=2).value > 0.6


def test_missing_answers_are_left_out_of_niches() -> None:
    whole, some = (niche_impurity(planted("leaky", n=600, missing=share), seed=0, replicates=2) for share in (0, 0.2))
    assert some.value == pytest.approx(whole.value, abs=0.1)


def test_true_concepts_are_aligned_and_noise_is_not() -> None:
    scores = {
        kind: alignment(planted(kind), seed=0, clusters=(2, 5, 10), replicates=20)
        for kind in ("truth", "noisy", "random")
    }
    assert scores["truth"].value == pytest.approx(1)
    assert 0.1 < scores["noisy"].value < 0.9
    assert scores["random"].value < 0.1
    assert scores["noisy"].ci[0] < scores["noisy"].value < scores["noisy"].ci[1]


@given(st.integers(0, 10_000), st.integers(10, 80), st.integers(1, 8))
def test_homogeneity_is_that_of_scikit_learn(seed: int, n: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    positive = np.concatenate([[True, False], draw.random(n) < 0.4])
    cluster = draw.integers(k, size=n + 2)
    twice = draw.integers(1, 3, size=n + 2)
    weights = np.vstack([np.ones(n + 2), twice])
    wanted = [homogeneity_score(positive, cluster)]
    wanted.append(homogeneity_score(np.repeat(positive, twice), np.repeat(cluster, twice)))
    assert homogeneity(positive, cluster, weights) == pytest.approx(np.array(wanted), abs=1e-9)


def test_medoids_find_planted_clusters_and_bear_few_points() -> None:
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.normal(place, 0.1, 30) for place in (0, 5, 10)])
    found = medoids(np.abs(x[:, None] - x), 3, draw)
    assert homogeneity_score(np.repeat([0, 1, 2], 30), found) == 1
    two = np.array([0.0, 1.0] * 10)
    found = medoids(np.abs(two[:, None] - two), 5, draw)
    assert homogeneity_score(two, found) == 1
    assert len(set(found)) == 2


def test_constant_and_rare_concepts_are_skipped_and_named() -> None:
    truth = np.random.default_rng(0).integers(0, 2, (N, C)).astype(float)
    truth[:, 1] = 1
    truth[:, 2] = np.arange(N) < 9
    given_ = represented(truth, truth, ["p"] * N, list("abcd"))
    assert (given_.concepts, given_.left_out) == (("a", "d"), ("b", "c"))
    with pytest.raises(OslerError) as caught:
        represented(truth[:, :3], truth[:, :3], ["p"] * N, list("abc"))
    assert caught.value.code == Code.NOTHING_ELIGIBLE


def test_patients_are_dealt_whole_and_enough_of_them() -> None:
    patients = [f"p{i // 3}" for i in range(90)]
    folds = patient_folds(patients, seed=0)
    for train, test in folds:
        assert not {patients[i] for i in np.flatnonzero(train)} & {patients[i] for i in np.flatnonzero(test)}
    assert np.bincount(folds.of).tolist() == [18] * 5
    with pytest.raises(OslerError) as caught:
        patient_folds(["a", "b"] * 20, seed=0)
    assert caught.value.code == Code.SUPPORT_INSUFFICIENT


def test_a_probe_of_few_values_is_the_table_that_a_network_learns() -> None:
    draw = np.random.default_rng(0)
    x = draw.integers(0, 2, (400, 1)).astype(float)
    targets = (draw.random((400, 2)) < np.array([0.2, 0.5]) + 0.4 * x).astype(float)
    targets[::7, 1] = np.nan
    wanted = [[np.nanmean(targets[x[:, 0] == side, j]) for j in (0, 1)] for side in (0, 1)]
    for table in (True, False):
        probe = fit_network(x, targets, hidden=(8,), seed=0, table=table)
        np.testing.assert_allclose(probe(np.array([[0.0], [1.0]])), wanted, atol=0.02)


def test_a_target_with_one_answer_is_its_mean() -> None:
    targets = np.array([[1.0, 0.0, np.nan], [1.0, 1.0, np.nan]] * 10)
    found = fit_network(np.random.default_rng(0).normal(size=(20, 3)), targets, hidden=(4,), seed=0)(np.zeros((2, 3)))
    assert found[:, [0, 2]].tolist() == [[1.0, 0.5]] * 2
