"""Splits: patients apart, classes in proportion, the order of rows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.splits import check_disjoint, split_patients


@given(st.integers(0, 2**31), st.integers(20, 80), st.integers(2, 4), st.integers(1, 3))
def test_every_row_has_one_split_and_every_patient_one(seed: int, patients: int, classes: int, studies: int) -> None:
    names = [f"p{i}" for i in range(patients) for _ in range(studies)]
    y = np.repeat(np.arange(patients) % classes, studies)
    splits = split_patients(names, y, seed=seed)
    assert sorted(np.concatenate(list(splits.rows.values())).tolist()) == list(range(len(names)))
    homes = {name: {names[i] for i in rows} for name, rows in splits.rows.items()}
    assert sum(map(len, homes.values())) == patients


def test_classes_keep_their_proportion() -> None:
    y = np.repeat([0, 1], [300, 100])
    splits = split_patients([f"p{i}" for i in range(400)], y, seed=3)
    assert {name: (int((y[rows] == 0).sum()), int((y[rows] == 1).sum())) for name, rows in splits.rows.items()} == {
        "train": (150, 50),
        "select": (45, 15),
        "calibrate": (45, 15),
        "test": (60, 20),
    }


def test_the_order_of_rows_changes_neither_the_split_nor_its_digest() -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"p{i // 2}" for i in range(120)])
    y = np.arange(120) // 2 % 2
    order = rng.permutation(120)
    first, second = split_patients(names.tolist(), y, seed=1), split_patients(names[order].tolist(), y[order], seed=1)
    assert first.digest == second.digest
    assert set(names[first["test"]]) == set(names[order][second["test"]])
    assert split_patients(names.tolist(), y, seed=2).digest != first.digest


def test_an_overlap_is_told_without_saying_who() -> None:
    with pytest.raises(OslerError) as caught:
        check_disjoint({"train": ["anna", "ben"], "test": ["ben"]})
    assert caught.value.code == Code.PATIENT_OVERLAP
    assert "ben" not in str(caught.value)


def test_fractions_must_sum_to_one() -> None:
    with pytest.raises(OslerError, match="sum to 1"):
        split_patients(["a", "b"], np.array([0, 1]), {"train": 0.5, "test": 0.4}, seed=0)
