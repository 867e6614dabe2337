"""Concept quality: against scikit-learn, with missing answers, at thresholds of another split, and between sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from osler_training.evaluate.concepts import choose_thresholds, excluded, moved_concepts
from osler_training.evaluate.metrics import average_precision
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import score


@given(st.integers(0, 10_000), st.integers(5, 60), st.sampled_from([3, 1000]))
def test_average_precision_is_that_of_scikit_learn(seed: int, n: int, levels: int) -> None:
    draw = np.random.default_rng(seed)
    positive = np.concatenate([[True, False], draw.random(n) < 0.3])
    scores = draw.integers(levels, size=n + 2).astype(float)
    weights = np.vstack([np.ones(n + 2), draw.integers(1, 4, size=n + 2)])
    wanted = [reference.average_precision_score(positive, scores, sample_weight=one) for one in weights]
    assert average_precision(positive, scores, weights) == pytest.approx(np.array(wanted))


def test_figures_of_concepts_are_those_of_scikit_learn_on_what_is_known(make_records: Callable[..., Records]) -> None:
    truth = make_records().concept_truth.copy()
    truth[np.random.default_rng(0).random(truth.shape) < 0.3] = np.nan
    records = make_records(concept_truth=truth, head={"concept_thresholds": {f"concept_{c}": 0.6 for c in range(4)}})
    names = ["concept_auroc", "concept_auprc", "concept_balanced_accuracy", "concept_brier"]
    found = score(records, names, seed=0, replicates=20)
    macro = []
    for c, concept in enumerate(records.concepts):
        known = ~np.isnan(truth[:, c])
        t, p = truth[known, c], records.concept_prob[known, c]
        macro.append(reference.roc_auc_score(t, p))
        for name, wanted in {
            "auroc": macro[-1],
            "auprc": reference.average_precision_score(t, p),
            "prevalence": t.mean(),
            "balanced_accuracy": reference.balanced_accuracy_score(t, p >= 0.6),
            "brier": reference.brier_score_loss(t, p),
        }.items():
            assert found[f"concept_{name}/{concept}"]["value"] == pytest.approx(wanted), name
            assert found[f"concept_{name}/{concept}"]["n"] == known.sum()
    assert found["concept_auroc"]["value"] == pytest.approx(np.mean(macro))


def test_rare_and_constant_concepts_are_left_out_and_listed(make_records: Callable[..., Records]) -> None:
    truth = make_records().concept_truth.copy()
    truth[:, 1] = 1
    truth[:, 2] = np.arange(120) < 9
    records = make_records(concept_truth=truth)
    left_out = excluded(records)
    assert {one: (count.positives, count.negatives) for one, count in left_out.items()} == {
        "concept_1": (120, 0),
        "concept_2": (9, 111),
    }
    found = score(records, ["concept_auroc"], seed=0, replicates=20)
    assert set(found) == {"concept_auroc", "concept_auroc/concept_0", "concept_auroc/concept_3"}
    nothing = make_records(concept_truth=np.ones((120, 4)))
    assert np.isnan(score(nothing, ["concept_auroc"], seed=0, replicates=5)["concept_auroc"]["value"])


def test_the_threshold_is_the_best_of_the_split_that_chooses(make_records: Callable[..., Records]) -> None:
    select = make_records(concept_prob=None)
    for c, (concept, limit) in enumerate(choose_thresholds(select).items()):
        t, value = select.concept_truth[:, c], select.concept_value[:, c]
        best = max(reference.balanced_accuracy_score(t, value >= one) for one in [*value, np.inf])
        assert reference.balanced_accuracy_score(t, value >= limit) == pytest.approx(best), concept
    turned = make_records(concept_prob=None, concept_value=-10 * (2 * select.concept_truth - 1))
    limits = choose_thresholds(turned)
    assert all(limits[one] > turned.concept_value.max() for one in turned.concepts)  # never called present
    assert choose_thresholds(make_records(concept_truth=np.ones((120, 4)))) == {}


def test_all_correct_on_a_hand_table(make_records: Callable[..., Records]) -> None:
    truth = np.ones((120, 4))
    prob = np.full((120, 4), 0.9)
    prob[:30, 0] = 0.1  # thirty are wrong in one concept
    truth[:10, 0] = np.nan  # ten of them nobody asked
    truth[110:] = np.nan  # ten have no answer at all
    limits = {f"concept_{c}": 0.5 for c in range(3)}
    records = make_records(concept_truth=truth, concept_prob=prob, head={"concept_thresholds": limits})
    found = score(records, ["concept_all_correct"], seed=0, replicates=50)["concept_all_correct"]
    assert found["value"] == pytest.approx(90 / 110)
    assert found["n"] == 110
    assert found["ci_low"] < 90 / 110 < found["ci_high"]


def test_which_concept_moved_between_sites(make_records: Callable[..., Records]) -> None:
    source, other = make_records(n=500, seed=1), make_records(n=500, seed=2)
    value = other.concept_value.copy()
    value[:, 2] = np.random.default_rng(0).normal(size=500)  # concept 2 says nothing at the other site
    patients = tuple(f"q{i}" for i in range(500))
    target = make_records(n=500, seed=2, concept_value=value, concept_prob=None, patients=patients)
    moved = moved_concepts(source, target, seed=0, replicates=400)
    assert [one.concept for one in moved if one.moved] == ["concept_2"]
    first = moved[0]
    assert first.concept == "concept_2"
    assert first.difference.value == pytest.approx(first.target.value - first.source.value)
    assert first.difference.ci[1] < 0 < first.p <= first.p_corrected
    # Independent sites: the variance of the difference is the sum of the two.
    spread = [one.replicates.std() for one in (first.difference, first.source, first.target)]
    assert spread[0] == pytest.approx(np.hypot(*spread[1:]), rel=0.15)


def test_the_same_patients_under_another_scanner_are_paired(make_records: Callable[..., Records]) -> None:
    source = make_records(n=300)
    noisy = source.concept_value + 0.3 * np.random.default_rng(0).normal(size=(300, 4))
    again = make_records(n=300, concept_value=noisy, concept_prob=None)
    for one in moved_concepts(source, again, seed=0, replicates=200):
        paired, alone = (
            one.difference.replicates.std(),
            np.hypot(one.source.replicates.std(), one.target.replicates.std()),
        )
        assert paired < 0.6 * alone
    assert all(
        one.difference.ci == (0, 0) and not one.moved for one in moved_concepts(source, source, seed=0, replicates=50)
    )
