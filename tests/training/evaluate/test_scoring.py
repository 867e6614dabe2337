"""Scoring a table: intervals, pairing, groups, and what is asked of a table that lacks it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate import scoring
from osler_training.evaluate.bootstrap import estimate, patient_weights
from osler_training.evaluate.groups import worst_group
from osler_training.evaluate.metrics import METRICS
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import compare, estimates, metric_names, metrics_for, score


def test_every_figure_has_an_interval_around_it(make_records: Callable[..., Records]) -> None:
    records = make_records(head={"concept_thresholds": {f"concept_{c}": 0.5 for c in range(4)}})
    found = score(records, [*metrics_for(records), "worst_group_accuracy:sex"], seed=0, replicates=200)
    assert {name.partition(":")[0] for name in metric_names()} <= {re.split("[:/]", name)[0] for name in found}
    for name, one in found.items():
        assert one["ci_low"] <= one["ci_high"], name
        assert one["n"] == len(records) or name.startswith(("worst_group", "recall")), name
        if not name.startswith("worst"):  # a lowest of several is lower still when drawn anew
            assert one["ci_low"] < one["value"] < one["ci_high"], name


def test_figures_are_those_of_the_plain_bootstrap(
    make_records: Callable[..., Records], monkeypatch: pytest.MonkeyPatch
):
    records = make_records()
    weights = patient_weights(records.patients, seed=5, replicates=60)
    wanted = {name: estimate(metric, records.y, records.prob, weights) for name, metric in METRICS.items()}
    for cells in (scoring._CELLS, 1000):  # in one go, and in many
        monkeypatch.setattr(scoring, "_CELLS", cells)
        found = estimates(records, list(METRICS), seed=5, replicates=60)
        for name, one in wanted.items():
            assert found[name].value == pytest.approx(one.value)
            wanted_draws = one.centred if name == "ece" else one
            np.testing.assert_allclose(found[name].replicates, wanted_draws.replicates)


def test_identical_predictors_do_not_differ_and_a_better_one_does(make_records: Callable[..., Records]) -> None:
    first, worse = make_records(n=400), make_records(n=400, noise=3.0)
    for one in compare(first, first, seed=0, replicates=100).values():
        assert one.ci == (0.0, 0.0)
    worse = make_records(n=400, y=first.y, prob=worse.prob)
    order = np.random.default_rng(0).permutation(400)
    lead = compare(first, worse.rows(order), ["accuracy"], seed=0, replicates=300)["accuracy"]
    assert lead.ci[0] > 0


def test_the_worst_group_on_a_hand_table(make_records: Callable[..., Records]) -> None:
    n = 120
    y = np.repeat([0, 1, 2], 40)
    value = np.where(np.arange(n) % 40 < 30, "x", "y")  # 30 and 10 of each class
    right = np.ones(n, bool)
    right[40:55] = False  # half of (two, x)
    right[[30, 31, 32, 33, 34, 35, 36, 37, 38, 39]] = False  # all of (one, y), which is too small to count
    predicted = np.where(right, y, (y + 1) % 3)
    records = make_records(y=y, prob=np.eye(3)[predicted])
    records.attributes["group"] = value
    found = worst_group(records, "group", seed=0, replicates=200)
    assert found.name == "two, x"
    assert found.worst is not None
    assert found.worst.value == 0.5
    assert set(found.insufficient) == {"one, y", "two, y", "three, y"}
    assert {one.n for one in found.groups} == {30, 10}
    assert found.worst.ci[0] < 0.5 < found.worst.ci[1]
    name = "worst_group_accuracy:group"
    assert score(records, [name], seed=0, replicates=20)[name] | {"ci_low": 0, "ci_high": 0} == {
        "value": 0.5,
        "n": 90,
        "ci_low": 0,
        "ci_high": 0,
    }


def test_no_group_is_large_enough(make_records: Callable[..., Records]) -> None:
    records = make_records(n=30)
    found = worst_group(records, "sex", seed=0, replicates=10)
    assert found.worst is None
    assert len(found.insufficient) == 6
    name = "worst_group_accuracy:sex"
    assert np.isnan(score(records, [name], seed=0, replicates=10)[name]["value"])


@pytest.mark.parametrize(
    ("metric", "code"),
    [
        ("accurracy", Code.USAGE),
        ("worst_group_accuracy", Code.USAGE),
        ("worst_group_accuracy:scanner", Code.PART_MISSING),
        ("concept_ece", Code.PART_MISSING),
        ("concept_balanced_accuracy", Code.PART_MISSING),
    ],
)
def test_what_a_table_lacks_is_said(make_records: Callable[..., Records], metric: str, code: Code) -> None:
    records = make_records(concept_prob=None)
    assert "concept_ece" not in metrics_for(records)
    with pytest.raises(OslerError) as caught:
        score(records, [metric], seed=0, replicates=2)
    assert caught.value.code == code


def test_an_empty_table_has_no_figures(make_records: Callable[..., Records]) -> None:
    with pytest.raises(OslerError) as caught:
        score(make_records().at("nowhere"), seed=0)
    assert caught.value.code == Code.NOTHING_ELIGIBLE


def test_recall_is_one_figure_a_class_that_is_there(make_records: Callable[..., Records]) -> None:
    records = make_records()
    records = records.rows(records.y != 1)
    found = score(records, ["recall", "balanced_accuracy"], seed=0, replicates=20)
    assert {name: one["n"] for name, one in found.items()} == {
        "recall/one": (records.y == 0).sum(),
        "recall/three": (records.y == 2).sum(),
        "balanced_accuracy": len(records),
    }
    mean = (found["recall/one"]["value"] + found["recall/three"]["value"]) / 2
    assert found["balanced_accuracy"]["value"] == pytest.approx(mean)
