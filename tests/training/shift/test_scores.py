"""Figures at a site that lacks classes, or has one image; label names as sites spell them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from osler.archive import StudyRecord
from osler.archive.label_column import choose_column, class_of
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import METRICS
from osler_training.evaluate.records import Records
from osler_training.shift import scores

CLASSES = ("neutrophil", "lymphocyte", "monocyte")


def records(y: np.ndarray, prob: np.ndarray) -> Records:
    names = tuple(f"s{i}" for i in range(len(y)))
    return Records(CLASSES, y, prob, names, names, tuple("x" for _ in names))


@given(st.integers(0, 10_000), st.integers(2, 40), st.sets(st.integers(0, 2), min_size=1))
def test_figures_agree_with_scikit_learn_over_the_classes_that_are_there(seed: int, n: int, there: set[int]) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(sorted(there), n)
    prob = rng.dirichlet(np.ones(3), n)
    ones = np.ones((1, n))
    assert METRICS["balanced_accuracy"](y, prob, ones)[0] == pytest.approx(
        balanced_accuracy_score(y, prob.argmax(1)) if set(prob.argmax(1)) <= set(y) else _recall(y, prob)
    )
    present = np.unique(y)
    if len(present) > 1:
        expected = np.mean([roc_auc_score(y == k, prob[:, k]) for k in present])
        assert METRICS["auroc"](y, prob, ones)[0] == pytest.approx(expected)
    assert scores.confusion(records(y, prob)) == confusion_matrix(y, prob.argmax(1), labels=[0, 1, 2]).tolist()


def _recall(y: np.ndarray, prob: np.ndarray) -> float:
    return float(np.mean([(prob.argmax(1)[y == k] == k).mean() for k in np.unique(y)]))


def test_one_image_has_figures_and_what_is_undefined_is_none() -> None:
    found = scores.site_scores(records(np.array([1]), np.array([[0.1, 0.7, 0.2]])), seed=0, replicates=20)
    assert found["accuracy"]["value"] == 1
    assert found["balanced_accuracy"]["value"] == 1
    assert found["auroc"]["value"] is None
    assert found["auroc"]["ci_low"] is None
    assert {one for one in found if one.startswith("recall/")} == {"recall/lymphocyte"}


@pytest.mark.parametrize("text", ["lymphocyte", "Lymphocyte", " LYMPHOCYTES ", "lymphocytes"])
def test_a_class_is_known_however_it_is_spelt(text: str) -> None:
    assert class_of(text, CLASSES, {}) == 1


def test_other_words_need_a_map() -> None:
    assert class_of("LY", CLASSES, {}) == -1
    assert class_of("ly", CLASSES, {"LY": "lymphocyte"}) == 1
    assert class_of("No Finding", ("normal", "pneumonia"), {"no finding": "normal"}) == 0
    assert class_of(None, CLASSES, {}) == -1


def study(**labels: str) -> StudyRecord:
    return StudyRecord("1", "x", "p", "20200101", (), labels, None, ())


def test_the_label_is_found_by_its_values() -> None:
    studies = [study(Coarse="wbc", kind="Neutrophil"), study(Coarse="wbc", kind="monocyte"), study(Coarse="wbc")]
    assert choose_column(studies, CLASSES, {}, None) == "kind"
    assert choose_column(studies, CLASSES, {}, "KIND") == "kind"
    same = [study(label="neutrophil", a="neutrophil")]
    assert choose_column(same, CLASSES, {}, None) == "label"
    with pytest.raises(OslerError, match="wbc") as caught:
        choose_column(studies, CLASSES, {}, "Coarse")
    assert caught.value.code is Code.NOTHING_ELIGIBLE
    with pytest.raises(OslerError, match="no class"):
        choose_column(studies, CLASSES, {"x": "basophil"}, None)
