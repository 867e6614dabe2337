"""Confounded splits: what goes with what, patients apart, refusals with counts, files that come back."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images
from osler_training.datasets.confounded import SPLITS, Band, confound, linked_patients, load_split

SIZES = {"train": 12, "select": 4, "calibrate": 4, "id_test": 5, "ood_test": 5}
CLASSES = ("sick", "well")


def blank(row: int) -> np.ndarray:
    return np.zeros((2, 2), np.float32)


def world(patients: int = 200, images_each: int = 3, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Images:
    """Patients of either sex, each with images of several classes and views."""
    rng = np.random.default_rng(seed)
    n = patients * images_each
    owner = np.repeat(np.arange(patients), images_each)
    table = pd.DataFrame(
        {
            "key": [hashlib.sha256(f"{seed} {row}".encode()).hexdigest() for row in range(n)],
            "path": "", "site": "a",
            "patient": [f"p{one}" for one in owner],
            "patient_known": True,
            "label": rng.choice([*classes, ""], n),
            "view": rng.choice(["PA", "AP", ""], n),
            "sex": rng.choice(["M", "F", ""], patients)[owner],
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 95, patients)[owner]),
            "part": "", "text": "",
        }
    )  # fmt: skip
    none = pd.DataFrame(index=table.index)
    return Images(table, none, none, partial(blank))


def check(
    images: Images, split: dict[str, np.ndarray], attribute: str, values: tuple[str, ...], sizes: dict[str, int]
) -> None:
    """The protocol, stated independently: who may be where, and how many."""
    homes: dict[str, set[str]] = {}
    for name in SPLITS:
        rows = images.table.iloc[split[name]]
        paired = dict(zip(CLASSES, values if name != "ood_test" else values[::-1], strict=True))
        assert rows["label"].value_counts().to_dict() == dict.fromkeys(CLASSES, sizes[name])
        assert (rows[attribute] == rows["label"].map(paired)).all()
        for patient in rows["patient"]:
            homes.setdefault(patient, set()).add(name)
    assert all(len(one) == 1 for one in homes.values())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), attribute=st.sampled_from([("sex", ("M", "F")), ("view", ("PA", "AP"))]))
def test_the_protocol_holds(seed: int, attribute: tuple[str, tuple[str, str]]) -> None:
    images = world(seed=seed)
    split = confound(images, CLASSES, attribute[0], attribute[1], SIZES, seed)
    check(images, dict(split), attribute[0], attribute[1], SIZES)


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    images = world()
    order = np.random.default_rng(1).permutation(len(images))
    one, two = (confound(each, CLASSES, "sex", ("M", "F"), SIZES, 3) for each in (images, images.rows(order)))
    assert one.digest == two.digest
    assert [sorted(order[two[name]]) for name in SPLITS] == [sorted(one[name]) for name in SPLITS]
    assert confound(images, CLASSES, "sex", ("M", "F"), SIZES, 4).digest != one.digest


def test_bands_of_ages_leave_out_who_is_between_and_who_is_unknown() -> None:
    images = world()
    split = confound(images, CLASSES, "age", (Band(high=30), {"low": 60}), SIZES, 0)
    ages = images.table["age"].to_numpy()
    young = images.table["label"].to_numpy() == "sick"
    for name in SPLITS:
        rows = split[name]
        expected = young[rows] if name != "ood_test" else ~young[rows]
        assert np.array_equal(ages[rows] <= 30, expected)
        assert np.array_equal(ages[rows] >= 60, ~expected)


def test_several_texts_may_be_one_value_and_classes_may_be_three() -> None:
    images = world(classes=("a", "b", "c"))
    images.table["source"] = np.array(["s1", "s2", "t", "u"])[np.arange(len(images)) % 4]
    sizes = dict.fromkeys(SPLITS, 5)
    split = confound(images, ("a", "b", "c"), "source", (["s1", "s2"], "t", "u"), sizes, 0)
    cross = images.table.iloc[split["ood_test"]].groupby("label")["source"].agg(set).to_dict()
    assert cross == {"a": {"t"}, "b": {"u"}, "c": cross["c"]}
    assert cross["c"] <= {"s1", "s2"}


def test_who_serves_both_sides_is_kept_for_the_short_one() -> None:
    """Ten patients have both views, ten the aligned one only: every image asked for can be had."""
    rows = [
        (f"both{i}", label, view)
        for i in range(10)
        for label, view in (("sick", "PA"), ("sick", "AP"), ("well", "AP"), ("well", "PA"))
    ]
    rows += [(f"one{i}", label, view) for i in range(10) for label, view in (("sick", "PA"), ("well", "AP"))]
    table = pd.DataFrame(rows, columns=["patient", "label", "view"])
    images = world(len(table), 1)
    for name in table:
        images.table[name] = table[name]
    sizes = {"train": 4, "select": 2, "calibrate": 2, "id_test": 2, "ood_test": 10}
    check(images, dict(confound(images, CLASSES, "view", ("PA", "AP"), sizes, 0)), "view", ("PA", "AP"), sizes)


def test_too_few_are_refused_with_the_counts() -> None:
    images = world(40)
    with pytest.raises(OslerError) as refused:
        confound(images, CLASSES, "sex", ("M", "F"), SIZES | {"ood_test": 500}, 0)
    sick = ((images.table["label"] == "sick") & (images.table["sex"] == "F")).sum()
    assert refused.value.code is Code.SUPPORT_INSUFFICIENT
    assert f"sick with the reversed value there are {sick} " in refused.value.message
    assert "ood_test lacks" in refused.value.message


@pytest.mark.parametrize(
    ("classes", "attribute", "values", "sizes"),
    [
        (("sick",), "sex", ("M",), SIZES),
        (("sick", "sick"), "sex", ("M", "F"), SIZES),
        (CLASSES, "sex", ("M",), SIZES),
        (CLASSES, "colour", ("M", "F"), SIZES),
        (CLASSES, "sex", ("M", "F"), {"train": 3}),
        (CLASSES, "sex", ("M", "F"), SIZES | {"select": 0}),
        (("sick", "absent"), "sex", ("M", "F"), SIZES),
        (CLASSES, "age", (Band(high=60), Band(low=50)), SIZES),
        (CLASSES, "age", ({"below": 3}, Band(low=50)), SIZES),
    ],
)
def test_what_makes_no_protocol_is_refused(
    classes: tuple[str, ...], attribute: str, values: tuple[object, ...], sizes: dict[str, int]
) -> None:
    with pytest.raises(OslerError) as refused:
        confound(world(), classes, attribute, values, sizes, 0)  # type: ignore[arg-type]
    assert refused.value.code is Code.USAGE


def test_patients_who_share_a_file_are_one() -> None:
    images = world(4, 2)
    images.table.loc[7, "key"] = images.table.loc[0, "key"]
    numbers = linked_patients(images)
    assert numbers[0] == numbers[1] == numbers[6] == numbers[7]
    assert len(set(numbers)) == 3


def test_a_saved_split_comes_back_and_names_nobody(tmp_path: Path) -> None:
    images = world()
    split = confound(images, CLASSES, "sex", ("M", "F"), SIZES, 0)
    path = tmp_path / "splits" / "sex.json"
    split.save(path)
    assert '"p1' not in path.read_text()
    order = np.random.default_rng(1).permutation(len(images))
    back = load_split(path, images.rows(order))
    assert back.digest == split.digest
    assert all(np.array_equal(np.sort(order[back[name]]), split[name]) for name in SPLITS)
    with pytest.raises(OslerError) as lost:
        load_split(path, images.rows(np.setdiff1d(np.arange(len(images)), split["train"][:2])))
    assert (lost.value.code, lost.value.message.startswith("2 images")) == (Code.IMAGE_MISSING, True)


def test_a_split_that_was_changed_is_refused(tmp_path: Path) -> None:
    images = world()
    path = tmp_path / "split.json"
    confound(images, CLASSES, "sex", ("M", "F"), SIZES, 0).save(path)
    record = json.loads(path.read_text())
    record["keys"]["train"][0], record["keys"]["ood_test"][0] = (
        record["keys"]["ood_test"][0],
        record["keys"]["train"][0],
    )
    for text in (json.dumps(record), "[]", "{", json.dumps(record | {"keys": {}})):
        path.write_text(text)
        with pytest.raises(OslerError) as refused:
            load_split(path, images)
        assert refused.value.code is Code.TABLE_INVALID


def test_exceptions_are_the_reverse_and_change_nothing_else() -> None:
    images = world()
    plain = confound(images, CLASSES, "sex", ("F", "M"), SIZES, 4)
    mixed = confound(images, CLASSES, "sex", ("F", "M"), SIZES, 4, {"train": 3, "select": 1})
    assert plain.digest == confound(images, CLASSES, "sex", ("F", "M"), SIZES, 4, {}).digest != mixed.digest
    patients: dict[str, set[str]] = {}
    for name in SPLITS:
        assert set(plain[name]) <= set(mixed[name])
        rows = images.table.iloc[np.setdiff1d(mixed[name], plain[name])]
        count = mixed.record["exceptions"].get(name, 0)
        assert rows["label"].value_counts().to_dict() == (dict.fromkeys(CLASSES, count) if count else {})
        assert (rows["sex"] == rows["label"].map({"sick": "M", "well": "F"})).all()
        patients[name] = set(images.table["patient"].iloc[mixed[name]])
    assert sum(map(len, patients.values())) == len(set.union(*patients.values()))
    for wrong in ({"ood_test": 1}, {"train": 0}):
        with pytest.raises(OslerError) as caught:
            confound(images, CLASSES, "sex", ("F", "M"), SIZES, 4, wrong)
        assert caught.value.code is Code.USAGE
    with pytest.raises(OslerError, match="exceptions of train lacks") as caught:
        confound(images, CLASSES, "sex", ("F", "M"), SIZES, 4, {"train": 500})
    assert caught.value.code is Code.SUPPORT_INSUFFICIENT
