"""Are important concepts right, and are they there? Planted weights and labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from osler_training.evaluate.importance import ConceptExistence, ConceptGlobalImportance

K, C, N = 3, 6, 240


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Classes, concept labels and patients; each class has a rate of its own for every concept."""
    draw = np.random.default_rng(seed)
    y = np.arange(N) % K
    truth = (draw.random((N, C)) < draw.random((K, C))[y]).astype(float)
    return y, truth, np.stack([truth[y == k].mean(0) for k in range(K)]), [f"p{i // 2}" for i in range(N)]


@pytest.mark.parametrize(("sign", "wanted"), [(1, 1.0), (-1, -1.0)])
def test_weights_that_are_the_frequencies_have_cosine_one(sign: int, wanted: float) -> None:
    y, truth, V, patients = world()
    found = ConceptGlobalImportance(200).compute(sign * V, truth, truth, y, y, patients)
    np.testing.assert_allclose(found.by_concept["gim1"], wanted)
    np.testing.assert_allclose(found.by_concept["gim1_centred"], wanted)
    np.testing.assert_allclose(found.by_concept["gim2"], 1)
    low, high = found.mean["gim1"].ci
    assert max(abs(low - wanted), abs(high - wanted)) < 0.1
    counts, edges = found.histogram("gim1")
    assert counts.sum() == C
    assert edges[[0, -1]].tolist() == [-1, 1]


def test_measures_are_the_librarys_cosines() -> None:
    y, truth, V, patients = world(1)
    draw = np.random.default_rng(2)
    W, values = draw.normal(size=(K, C)), draw.random((N, C))
    predicted = np.where(draw.random(N) < 0.3, (y + 1) % K, y)
    found = ConceptGlobalImportance(10).compute(W, values, truth, y, predicted, patients).by_concept
    U = np.stack([values[(y == k) & (predicted == k)].mean(0) for k in range(K)])
    for c in range(C):
        assert found["gim1"][c] == pytest.approx(1 - cosine(W[:, c], V[:, c]))
        assert found["gim2"][c] == pytest.approx(1 - cosine(U[:, c], V[:, c]))
        assert found["gim3"][c] == pytest.approx(1 - cosine((W * U)[:, c], V[:, c]))
        assert found["gim2_centred"][c] == pytest.approx(np.corrcoef(U[:, c], V[:, c])[0, 1])


def test_a_class_that_is_never_predicted_is_dropped_and_told() -> None:
    y, truth, V, patients = world(3)
    predicted = np.where(y == 2, 0, y)
    found = ConceptGlobalImportance(20).compute(V, truth, truth, y, predicted, patients)
    assert found.dropped == (2,)
    assert np.isfinite(found.by_concept["gim2"]).all()
    assert found.by_concept["gim3"][0] == pytest.approx(1 - cosine(V[:2, 0] ** 2, V[:2, 0]))


def test_missing_labels_are_not_absent() -> None:
    y, truth, _, patients = world(4)
    hidden = truth.copy()
    hidden[::3][truth[::3] == 0] = np.nan
    V = np.stack([np.nanmean(hidden[y == k], axis=0) for k in range(K)])
    found = ConceptGlobalImportance(5).compute(V, truth, hidden, y, y, patients)
    np.testing.assert_allclose(found.by_concept["gim1"], 1)


def test_permuting_images_changes_nothing() -> None:
    y, truth, V, patients = world(5)
    draw = np.random.default_rng(6)
    values, order = draw.random((N, C)), draw.permutation(N)
    names = [patients[i] for i in order]
    one = ConceptGlobalImportance(5).compute(V, values, truth, y, y, patients)
    two = ConceptGlobalImportance(5).compute(V, values[order], truth[order], y[order], y[order], names)
    for measure, cosines in one.by_concept.items():
        np.testing.assert_allclose(two.by_concept[measure], cosines)
    first = ConceptExistence().compute(V, values, truth, y, patients)
    second = ConceptExistence().compute(V, values[order], truth[order], y[order], names)
    assert {name: one.value for name, one in first.items()} == pytest.approx(
        {name: one.value for name, one in second.items()}
    )


def test_perfect_concepts_that_support_what_is_there_exist() -> None:
    y, truth, _, patients = world(7)
    truth[:, 0] = 1  # every image shows one
    found = ConceptExistence(lengths=(1,)).compute(np.ones((K, C)), truth, truth, y, patients)
    assert found["existence_1"].value == 1
    assert found["oracle_1"].value == 1
    assert found["chance"].value == pytest.approx(truth.mean())


def test_existence_counts_what_contributes_most_and_no_more_than_the_oracle() -> None:
    truth = np.array([[1.0, 0, 0, np.nan], [0, 0, 1, 1]])
    W = np.array([[3.0, 2, 1, 4], [-1, -1, 1, 1]])
    found = ConceptExistence(lengths=(1, 3, 10)).compute(W, np.ones((2, 4)), truth, np.array([0, 1]), ["a", "b"])
    value = {name: one.value for name, one in found.items()}
    # First image: the concept that contributes most is not labelled, so that it cannot be judged; second: the two that speak for the class are there.
    assert value["existence_1"] == 1
    assert value["existence_3"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert value["existence_10"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert value["chance"] == pytest.approx((1 / 3 + 1) / 2)
    for length in (1, 3, 10):
        assert value[f"oracle_{length}"] >= value[f"existence_{length}"]
