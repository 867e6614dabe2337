"""KnoBo's table rerun on generated files of its form: the planted winner, the arithmetic, what lacks, what is damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from osler.cli.main import main
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.replicate.knobo import METHODS, Plan, replicate
from osler_training.replicate.knobo_files import MODALITIES, concept_id, read_bank, read_set
from osler_training.replicate.table import table_lines

FAST = ("linear probe", "KnoBo")


def row(record: dict[str, Any], name: str, method: str) -> dict[str, Any]:
    (one,) = [one for one in record["rows"] if (one["set"], one["method"]) == (name, method)]
    return one


@pytest.fixture(scope="module")
def record(knobo: Callable[..., Path]) -> dict[str, Any]:
    return replicate(knobo(), Plan(modalities=("xray",), methods=FAST))


def test_the_prior_wins_where_a_shortcut_turns_round(record: dict[str, Any]) -> None:
    probe, prior = ({one["method"]: one for one in record["summary"]}[name] for name in FAST)
    assert probe["id"] > 0.97  # it reads the shortcut
    assert probe["ood"] < 0.6
    assert prior["ood"] > probe["ood"] + 0.2
    assert prior["gap"] < probe["gap"] / 2
    assert prior["overall"] > probe["overall"] + 0.1
    assert prior["sets"] == [5, 5]


def test_the_figures_follow_from_each_other(record: dict[str, Any]) -> None:
    for one in record["rows"]:
        if one["kind"] == "confounded":
            inside, outside = one["id"]["value"], one["ood"]["value"]
            assert one["gap"]["value"] == pytest.approx(abs(inside - outside))
            assert one["avg"]["value"] == pytest.approx((inside + outside) / 2)
        else:
            assert set(one) & {"id", "ood", "gap", "avg"} == set()
            low, high = one["unconf"]["ci"]
            assert low <= one["unconf"]["value"] <= high
    for mean in record["summary"]:
        values = [one["avg"]["value"] for one in record["rows"] if one["method"] == mean["method"] and "avg" in one]
        others = [
            one["unconf"]["value"] for one in record["rows"] if one["method"] == mean["method"] and "unconf" in one
        ]
        assert mean["avg"] == pytest.approx(np.mean(values))
        assert mean["overall"] == pytest.approx((np.mean(values) + np.mean(others)) / 2)


def test_patients_come_from_the_names_of_images(record: dict[str, Any], knobo: Callable[..., Path]) -> None:
    held = read_set(knobo(), "whyxrayclip", "NIH-age")
    assert held is not None
    train = held.splits["train"]
    assert len(train.y) == 320
    assert len(set(train.patients)) == 160  # two films each
    assert row(record, "NIH-age", "KnoBo")["patients_named"]
    assert row(record, "NIH-age", "KnoBo")["patients_shared"] == {"val": 4, "test": 0}


def test_every_method_runs_and_those_without_prior_follow_the_shortcut(knobo: Callable[..., Path]) -> None:
    record = replicate(knobo(1, 1), Plan(modalities=("xray",)))
    outside = {method: row(record, "NIH-sex", method)["ood"]["value"] for method in METHODS}
    assert all(outside[method] < 0.5 < outside["KnoBo"] - 0.3 for method in ("linear probe", "PCBM", "PCBM-h"))
    assert abs(outside["LaBo"] - outside["KnoBo"]) < 0.05  # it takes concepts that the prior gives to a class
    assert all(row(record, "pneumonia", method)["unconf"]["value"] > 0.85 for method in METHODS)


def test_the_same_seed_gives_the_same_table(knobo: Callable[..., Path]) -> None:
    plan = Plan(modalities=("xray",), methods=FAST)
    assert replicate(knobo(1, 0), plan) == replicate(knobo(1, 0), plan)


def test_features_are_taken_at_unit_length(knobo: Callable[..., Path]) -> None:
    held = read_set(knobo(1, 0), "whyxrayclip", "NIH-sex")
    assert held is not None
    assert np.allclose(np.linalg.norm(held.splits["val"].x, axis=1), 1)


def test_ready_groundings_serve_without_a_reference(knobo: Callable[..., Path]) -> None:
    data = knobo(1, 0, annotated=False, groundings=True)
    plan = Plan(modalities=("xray",), methods=("KnoBo", "PCBM", "LaBo"), concepts=8)
    record = replicate(data / "features", plan)  # the inner folder will do
    assert (
        record["conditions"][0]["ready_groundings"] == 8
    )  # the best by held-out accuracy: the two that say nothing go
    assert row(record, "NIH-sex", "KnoBo")["ood"]["value"] > 0.75
    assert "reference set" in row(record, "NIH-sex", "PCBM")["unmeasured"]
    assert row(record, "NIH-sex", "LaBo").keys() == row(record, "NIH-sex", "PCBM").keys()


def test_what_lacks_is_unmeasured_and_never_averaged(knobo: Callable[..., Path]) -> None:
    record = replicate(knobo(1, 0, annotated=False), Plan(methods=FAST))
    assert "id" in row(record, "NIH-sex", "linear probe")
    assert row(record, "NIH-age", "linear probe")["unmeasured"] == "no features of NIH-age"
    assert "groundings" in row(record, "NIH-sex", "KnoBo")["unmeasured"]
    assert {one["avg"] for one in record["summary"]} == {"unmeasured"}
    assert record["summary"][0]["sets"] == [1, 0]
    text = "\n".join(table_lines(record))
    assert "no features of ISIC-sex" in text
    assert "xray, features of whyxrayclip: 1 of 10 sets." in text
    json.dumps(record, allow_nan=False)


def test_a_prior_that_lacks_a_class_is_unknown_and_an_unknown_weight_is_drawn_to_nothing(
    knobo: Callable[..., Path],
) -> None:
    bank = read_bank(knobo(), MODALITIES["xray"], "PubMed", ("benign", "malignant"))
    assert bank.ids[0] == concept_id("Is sign 0 there?")
    signs = bank.prior_matrix(("benign", "malignant"))
    assert signs[0][:2] == (1, -1)
    assert set(signs[1]) == {None}
    assert signs[0][8] is None


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("label", Code.MODEL_INVALID),
        ("class", Code.PART_MISSING),
        ("values", Code.MODEL_INVALID),
        ("encoder", Code.MODEL_INVALID),
        ("prior", Code.BANK_INVALID),
        ("list", Code.PART_MISSING),
    ],
)
def test_damaged_files_are_refused(knobo: Callable[..., Path], tmp_path: Path, damage: str, code: Code) -> None:
    data = tmp_path / "data"
    shutil.copytree(knobo(1, 0), data)
    folder = data / "features" / "whyxrayclip"
    if damage == "label":
        torch.save({"benign": 0, "maliganant": 2}, folder / "NIH-sex_label.pt")
    elif damage == "class":
        shutil.rmtree(folder / "NIH-sex" / "val" / "benign")
    elif damage == "values":
        torch.save(np.full((3, 20), np.nan, np.float32), folder / "NIH-sex" / "train" / "benign" / "64.pt")
    elif damage == "encoder":
        for file in (folder / "NIH-sex").rglob("*.pt"):
            torch.save(np.ones((4, 19), np.float32), file)
    elif damage == "prior":
        (data / "bottlenecks" / "concept_priors" / "xray_class2concept2answer.json").write_text("{")
    else:
        (data / "bottlenecks" / "xray_PubMed.txt").unlink()
    with pytest.raises(OslerError) as refused:
        replicate(data, Plan(modalities=("xray",), methods=("linear probe",)))
    assert refused.value.code is code


def test_a_class_name_that_leads_out_is_refused(knobo: Callable[..., Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(knobo(1, 0), data)
    torch.save({"benign": 0, "../../../../etc": 1}, data / "features" / "whyxrayclip" / "NIH-sex_label.pt")
    with pytest.raises(OslerError) as refused:
        replicate(data, Plan(modalities=("xray",), methods=("linear probe",)))
    assert refused.value.code is Code.PATH_OUTSIDE


def test_the_command_writes_both_tables(
    knobo: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--features", str(knobo(1, 0)), "--modality", "xray", "--method", "linear probe", "--out", str(out)]
    assert main(["replicate", "knobo", *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((out / "table.json").read_text())["rows"] == printed["rows"]
    assert "linear probe" in (out / "table.txt").read_text()


@pytest.mark.parametrize("options", [["--method", "GPT"], ["--features", "nowhere"]])
def test_what_cannot_be_run_is_told(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replicate", "knobo", "--features", str(tmp_path), *options]) in (1, 2)
    assert "osler" in capsys.readouterr().err.lower()
