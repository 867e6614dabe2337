"""The flat table: what it refuses, and that anyone who loads it scores the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.records import HEAD, TABLE, Records, same_studies
from osler_training.evaluate.scoring import score


def test_a_table_that_was_saved_scores_the_same(make_records: Callable[..., Records], tmp_path: Path) -> None:
    truth = make_records().concept_truth.copy()
    truth[::5, 1] = np.nan
    records = make_records(concept_truth=truth)
    again = Records.load(records.save(tmp_path / "cell"))
    for name in ("y", "prob", "concept_value", "concept_prob", "concept_truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(records, name))
    for name in ("classes", "studies", "patients", "sites", "concepts", "head"):
        assert getattr(again, name) == getattr(records, name)
    pd.testing.assert_frame_equal(again.attributes, records.attributes)
    metrics = ["accuracy", "ece", "concept_auroc", "worst_group_accuracy:sex"]
    assert score(again, metrics, seed=3, replicates=50) == score(records, metrics, seed=3, replicates=50)


def test_the_same_predictions_are_the_same_bytes(make_records: Callable[..., Records], tmp_path: Path) -> None:
    first, second = (make_records().save(tmp_path / name) for name in "ab")
    for name in (TABLE, HEAD):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_table_can_be_read_without_us(make_records: Callable[..., Records], tmp_path: Path) -> None:
    records = make_records()
    table = pd.read_parquet(records.save(tmp_path) / TABLE)
    head = json.loads((tmp_path / HEAD).read_text())
    predicted = table[[f"prob:{name}" for name in head["classes"]]].to_numpy().argmax(1)
    right = np.array(head["classes"])[predicted] == table["y"]
    assert right.mean() == score(records, ["accuracy"], seed=0, replicates=2)["accuracy"]["value"]


def test_a_black_box_has_no_concepts(make_records: Callable[..., Records], tmp_path: Path) -> None:
    nothing = {"concepts": (), "concept_value": None, "concept_prob": None, "concept_truth": None}
    again = Records.load(make_records(attributes=pd.DataFrame(), **nothing).save(tmp_path))
    assert again.concept_truth is None
    for wanted in (again.truth, again.concept_score, lambda: again.attribute("sex")):
        with pytest.raises(OslerError) as caught:
            wanted()
        assert caught.value.code == Code.PART_MISSING


def test_rows_keep_every_column_together(make_records: Callable[..., Records]) -> None:
    records = make_records()
    odd = records.at("b")
    assert set(odd.sites) == {"b"}
    assert odd.studies == records.studies[1::2]
    np.testing.assert_array_equal(odd.prob, records.prob[1::2])
    np.testing.assert_array_equal(odd.concept_truth, records.concept_truth[1::2])
    np.testing.assert_array_equal(odd.attribute("sex"), records.attribute("sex")[1::2])


def test_a_missing_attribute_is_empty(make_records: Callable[..., Records]) -> None:
    table = pd.DataFrame({"sex": ["F", None] * 60, "age": [1.0, np.nan] * 60})
    records = make_records(attributes=table)
    assert set(records.attribute("sex")) == {"F", ""}
    assert set(records.attribute("age")) == {"1.0", ""}


@pytest.mark.parametrize(
    "changes",
    [
        {"prob": np.full((120, 2), 0.5)},
        {"prob": np.full((120, 3), np.nan)},
        {"y": np.full(120, 3)},
        {"patients": ("p",)},
        {"studies": ("s",) * 120},
        {"attributes": pd.DataFrame({"sex": ["F"]})},
        {"concept_prob": np.zeros((120, 3))},
        {"concept_truth": np.full((120, 4), 0.5)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_is_no_table_is_refused(make_records: Callable[..., Records], changes: dict[str, object]) -> None:
    with pytest.raises(OslerError) as caught:
        make_records(**changes)
    assert caught.value.code == Code.TABLE_INVALID


def test_a_table_that_was_changed_is_refused(make_records: Callable[..., Records], tmp_path: Path) -> None:
    folder = make_records().save(tmp_path)
    make_records(seed=1).table().to_parquet(folder / TABLE)
    with pytest.raises(OslerError, match="not the table"):
        Records.load(folder)
    (folder / HEAD).write_text("{")
    with pytest.raises(OslerError, match="cannot be read"):
        Records.load(folder)
    (folder / HEAD).unlink()
    with pytest.raises(OslerError) as caught:
        Records.load(folder)
    assert caught.value.code == Code.SOURCE_MISSING


def test_two_tables_are_brought_to_one_order(make_records: Callable[..., Records]) -> None:
    records = make_records()
    shuffled = records.rows(np.random.default_rng(1).permutation(len(records)))
    first, second = same_studies(records, shuffled)
    assert first.studies == second.studies
    np.testing.assert_array_equal(first.prob, second.prob)
    with pytest.raises(OslerError):
        same_studies(records, records.at("a"))
    with pytest.raises(OslerError, match="agree"):
        same_studies(records, make_records(y=np.zeros(120, int)))
