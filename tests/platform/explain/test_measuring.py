"""Figures agree with scikit-learn's, what nobody said is unknown, and what was checked is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from osler.archive import StudyRecord
from osler.explain.explanation import Measured
from osler.explain.grounding import known_concepts, measure_grounding
from osler.explain.measuring import measured_auroc, share, weighted_auroc, wilson
from osler.explain.profiles import Profiles
from osler.explain.typicality import Typical
from osler.explain.validation import ConceptCheck, Validation, check_concept, check_map, load_validation, reliable_limit
from osler_knowledge.bank import ConceptBank


def study(number: int, patient: str = "", **labels: str) -> StudyRecord:
    return StudyRecord(f"2.25.{number}", "b", patient or f"p{number}", "20240101", (), labels, None, ())


def test_the_auroc_is_scikit_learns_with_ties_and_weights():
    draw = np.random.default_rng(0)
    scores, present = np.round(draw.normal(size=80), 1), draw.uniform(size=80) < 0.4
    weights = draw.integers(0, 4, size=(5, 80)).astype(float)
    found = weighted_auroc(scores, present, weights)
    wanted = [roc_auc_score(present, scores, sample_weight=one) for one in weights]
    np.testing.assert_allclose(found, wanted)
    truth = np.r_[present.astype(float), np.full(5, np.nan)]
    measured = measured_auroc(np.r_[scores, np.ones(5)], truth, [f"p{n}" for n in range(85)], "here")
    assert measured.value == pytest.approx(roc_auc_score(present, scores))
    assert (measured.studies, measured.present) == (80, int(present.sum()))
    assert measured.low < measured.value < measured.high
    assert measured_auroc(scores[:12], np.r_[np.ones(9), np.zeros(3)], ["p"] * 12, "here") is None


def test_shares_have_wilsons_interval():
    for hits, n in ((0, 5), (7, 9), (50, 50)):
        assert wilson(hits, n) == pytest.approx(tuple(binomtest(hits, n).proportion_ci(method="wilson")))
    assert share(np.array([]), "here") is None


def test_truth_is_what_tables_say_and_unknown_where_nobody_says(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(6)
    studies = [study(1, concept_concept_0="1", concept_1="0"), study(2)]
    truth = known_concepts(studies, bank)
    np.testing.assert_array_equal(truth[0, :3], [1, 0, np.nan])
    assert np.isnan(truth[1]).all()


def test_grounding_is_measured_once_and_again_when_a_label_changes(
    make_bank: Callable[[int], ConceptBank], tmp_path: Path
):
    bank, draw = make_bank(2), np.random.default_rng(1)
    present = np.arange(40) % 2
    studies = tuple(study(n, concept_concept_0=str(present[n])) for n in range(40))
    values = np.stack([present + draw.normal(size=40), draw.normal(size=40)], axis=1)
    profiles = Profiles(studies, values, ("pneumonia",) * 40, np.zeros((40, 2)))
    found = measure_grounding(profiles, bank, "b", cache=tmp_path)
    assert list(found) == ["concept_0"]
    assert found["concept_0"].value == pytest.approx(roc_auc_score(present, values[:, 0]))
    (kept,) = (tmp_path / "explain").glob("grounding-*.json")
    kept.write_text(json.dumps({"concept_0": {**vars(found["concept_0"]), "value": 0.123}}))
    assert measure_grounding(profiles, bank, "b", cache=tmp_path)["concept_0"].value == 0.123  # it is what was kept
    kept.write_text("{")
    assert measure_grounding(profiles, bank, "b", cache=tmp_path) == found
    corrected = replace(profiles, studies=(study(0, concept_concept_0="1"), *studies[1:]))
    assert measure_grounding(corrected, bank, "b", cache=tmp_path)["concept_0"].present == 21


def test_a_limit_is_reliable_or_there_is_none():
    p = np.linspace(1, 0, 100)
    there = p > 0.5
    there[30:34] = False
    limit, kept = reliable_limit(p, there, "here")
    assert kept.value >= 0.9
    assert np.mean(there[p >= limit]) == kept.value
    assert limit >= 0.5
    assert np.mean(p[~there] >= limit) <= 0.1
    rare = np.arange(200) % 20 == 0  # 95% are absent: whoever always says absent is right by chance alone
    blind = np.random.default_rng(0).uniform(size=200)
    mirrored, _ = reliable_limit(1 - blind, ~rare, "here")
    assert mirrored is None or np.mean(1 - blind[rare] >= mirrored) <= 0.1
    assert reliable_limit(p, ~there, "here") == (None, None)
    assert reliable_limit(p[:3], there[:3], "here") == (None, None)  # three right ones are luck
    assert reliable_limit(np.ones(100), there, "here") == (None, None)  # all the same: no limit parts them
    assert reliable_limit(np.array([]), np.array([], bool), "here") == (None, None)


def test_a_concept_is_called_by_its_own_limits_and_its_map_shown_where_maps_point():
    draw = np.random.default_rng(2)
    truth = np.arange(200) % 2.0
    prob = np.clip(0.5 + 0.4 * (2 * truth - 1) + draw.normal(0, 0.1, 200), 0, 1)
    patients = [f"p{n}" for n in range(200)]
    hits = np.where(truth == 1, 1.0, np.nan)
    check = check_concept(prob, prob, truth, patients, "here")
    assert [check.called(one) for one in (0.99, 0.01, None)] == ["present", "absent", "uncertain"]
    assert check.auroc.value > 0.99
    assert not check.map_shown
    assert replace(check, localisation=check_map(check, prob, truth, hits, "here")).map_shown
    hits[np.flatnonzero(truth == 1)[::4]] = 0
    missed = check_map(check, prob, truth, hits, "here")
    assert missed.value == pytest.approx(0.75, abs=0.03)
    assert not replace(check, localisation=missed).map_shown
    wrong = truth.copy()
    wrong[np.flatnonzero(truth == 1)[:8]] = 0  # called present and not there: their maps miss, whatever they point at
    claimed = check_map(check, prob, wrong, np.where(wrong == 1, 1.0, np.nan), "here")
    assert claimed.value == pytest.approx(0.92, abs=0.02)
    blind = check_concept(np.full(200, np.nan), prob, truth, patients, "here")
    assert (blind.present_from, blind.localisation, blind.called(0.9)) == (None, None, "uncertain")
    assert check_map(blind, prob, truth, hits, "here") is None
    assert blind.auroc == check.auroc


def test_what_was_checked_belongs_to_one_model_and_survives_the_disk(tmp_path: Path):
    figure = Measured(0.9, 0.85, 0.95, 100, 40, "held-out studies")
    features = Typical.fit("image features", np.random.default_rng(0).normal(size=(60, 3)))
    kept = Validation("a" * 64, "held-out studies", {"one": ConceptCheck(figure, 0.7, figure, 0.2, figure, figure)})
    kept.save(tmp_path)
    assert load_validation(tmp_path, "a" * 64) == kept
    assert load_validation(tmp_path, "b" * 64) == Validation("b" * 64, "")
    assert load_validation(tmp_path / "nowhere", "a" * 64).of("one") == ConceptCheck()
    replace(kept, features=features).save(tmp_path)
    again = load_validation(tmp_path, "a" * 64)
    point = np.ones((1, 3))
    np.testing.assert_array_equal(again.features.distances(point), features.distances(point))
    path = tmp_path / "validation.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    assert load_validation(tmp_path, "a" * 64).concepts == {}  # damaged: nothing was checked
