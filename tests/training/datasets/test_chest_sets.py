"""What the chest sets say, read as their owners document it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images, open_dataset

Build = Callable[[str], Path]


def at(images: Images, part: str) -> pd.Series:
    """The one row whose path holds a text, with its findings."""
    (row,) = [row for row, path in enumerate(images.table["path"]) if part in path]
    return pd.concat([images.table.iloc[row], images.findings.iloc[row].add_prefix("is_")])


def truth(row: pd.Series, *names: str) -> list[float]:
    return [row[f"is_{name}"] for name in names]


def unknown(value: float) -> bool:
    return math.isnan(value)


def test_nih_reads_past_its_broken_header(build: Build) -> None:
    images = open_dataset("nih_cxr14", build("nih_cxr14"))
    first, second, clear, child = (at(images, name) for name in ("1_000.png", "1_001", "2_000", "3_000"))
    assert images.findings.shape == (4, 15)
    assert first["patient"] == second["patient"] == "nih_cxr14:1"
    assert (first["sex"], first["age"], first["view"], first["part"]) == ("M", 58.0, "PA", "train")
    assert truth(second, "cardiomegaly", "pleural_effusion", "pneumonia", "normal") == [1, 1, 0, 0]
    assert (first["label"], second["label"], clear["label"]) == ("cardiomegaly", "", "normal")
    assert unknown(clear["age"])  # 414 years
    assert child["age"] == pytest.approx(11 / 12)
    assert (clear["part"], images.table["patient_known"].all()) == ("test", True)


def test_nih_asks_about_one_finding(build: Build) -> None:
    labels = open_dataset("nih_cxr14", build("nih_cxr14"), target="pleural_effusion").table["label"].tolist()
    assert labels == ["", "pleural_effusion", "normal", ""]


def test_nih_refuses_a_label_that_is_none_of_the_fourteen(build: Build) -> None:
    root = build("nih_cxr14")
    path = root / "Data_Entry_2017.csv"
    path.write_text(path.read_text().replace("Cardiomegaly|Effusion", "Cardiomegaly|Effusoin"))
    with pytest.raises(OslerError) as refused:
        open_dataset("nih_cxr14", root)
    assert (refused.value.code, "00000001_001.png" in refused.value.message) == (Code.ROW_INVALID, True)
    assert open_dataset("nih_cxr14", root, missing="skip").left_out == {"row-invalid": 1}


def test_a_row_of_too_many_cells_is_refused_with_its_line(build: Build) -> None:
    root = build("ham10000")
    with (root / "HAM10000_metadata.csv").open("a") as stream:
        stream.write("a,b,mel,histo,1,male,back,x,one too many\n")
    with pytest.raises(OslerError, match="line 5") as refused:
        open_dataset("ham10000", root)
    assert refused.value.code is Code.TABLE_INVALID


@pytest.mark.parametrize(("policy", "opacity"), [("ignore", math.nan), ("ones", 1.0), ("zeros", 0.0)])
def test_chexpert_takes_uncertain_labels_by_policy(build: Build, policy: str, opacity: float) -> None:
    images = open_dataset("chexpert", build("chexpert"), uncertain=policy)
    row = at(images, "patient00002/study2/view1")
    assert truth(row, "lung_opacity") == pytest.approx([opacity], nan_ok=True)
    assert truth(row, "consolidation", "pneumonia", "normal") == [0, 1, 0]
    assert unknown(row["is_fracture"])


def test_chexpert_reads_patients_views_and_parts(build: Build) -> None:
    images = open_dataset("chexpert", build("chexpert"))
    clear, pneumonia, valid = (at(images, f"patient{number}") for number in ("00001", "00002", "64541"))
    assert images.left_out == {"lateral": 1}
    assert (clear["patient"], clear["label"], clear["view"], clear["age"]) == (
        "chexpert:patient00001",
        "normal",
        "AP",
        68,
    )
    assert truth(clear, "normal", "support_devices") == [1, 1]
    assert (pneumonia["sex"], unknown(pneumonia["age"]), pneumonia["study"]) == ("", True, "study2")
    assert (valid["part"], truth(valid, "enlarged_cardiomediastinum", "normal")) == ("val", [1, 0])
    assert len(open_dataset("chexpert", build("chexpert"), frontal=False)) == 4


def test_chexpert_fills_what_is_not_mentioned_on_request_only(build: Build) -> None:
    root = build("chexpert")
    kept, filled = (open_dataset("chexpert", root, unmentioned=policy).findings for policy in ("ignore", "zeros"))
    assert kept.isna().to_numpy().sum() > 10
    assert filled.isna().to_numpy().sum() == 1  # the uncertain one


def test_chexpert_reads_from_the_folder_above_too(tmp_path: Path, layouts: dict[str, Callable[[Path], None]]) -> None:
    layouts["chexpert"](tmp_path / "CheXpert-v1.0-small")
    for table in ("train.csv", "valid.csv"):
        (tmp_path / "CheXpert-v1.0-small" / table).rename(tmp_path / table)
    assert len(open_dataset("chexpert", tmp_path)) == 3


def test_mimic_joins_labels_views_parts_and_reports(build: Build) -> None:
    root = build("mimic_cxr")
    images = open_dataset("mimic_cxr", root, reports=str(root / "reports"))  # as a recipe has it
    first, clear = at(images, "02aa804e"), at(images, "174413ec")
    assert "p10/p10000032/s50000001" in first["path"]
    assert first["patient"] == clear["patient"] == "mimic_cxr:10000032"
    assert truth(first, "edema", "support_devices") == pytest.approx([math.nan] * 2, nan_ok=True)
    assert (truth(first, "lung_lesion", "pneumothorax"), first["part"]) == (
        pytest.approx([1, math.nan], nan_ok=True),
        "train",
    )
    assert (clear["label"], clear["part"], clear["text"]) == ("normal", "", "FINDINGS: of 50000002")
    assert at(images, "2a2277a9")["part"] == "val"
    assert images.left_out == {"view": 1, "unlabelled": 1}


def test_padchest_reads_lists_and_runs_nothing(build: Build) -> None:
    root = build("padchest")
    images = open_dataset("padchest", root)
    clear, sick, poor, silent = (at(images, f"{n:02d}.png") for n in (0, 1, 3, 4))
    assert sorted(images.findings.columns) == ["normal", "pleural_effusion", "pneumonia"]
    assert truth(sick, "pneumonia", "pleural_effusion", "normal") == [1, 1, 0]
    assert (clear["label"], sick["label"], sick["view"], sick["age"]) == ("normal", "", "AP", 84)
    assert unknown(clear["age"])
    assert all(unknown(row["is_normal"]) for row in (poor, silent))
    assert clear["patient"] == sick["patient"] == "padchest:P0"
    assert images.left_out == {"view": 1}
    assert len(open_dataset("padchest", root, physicians=True)) == 3
    path = next(root.glob("PADCHEST*.csv"))
    path.write_text(path.read_text().replace("['normal']", "__import__('os').abort()"))
    with pytest.raises(OslerError) as refused:
        open_dataset("padchest", root)
    assert refused.value.code is Code.ROW_INVALID


def test_padchest_turns_what_it_is_told_to(build: Build) -> None:
    root = build("padchest")
    plain, turned = (open_dataset("padchest", root, invert_monochrome1=one) for one in (False, True))
    for row, photometric in enumerate(plain.table["photometric"]):
        inverted = photometric == "MONOCHROME1"
        assert np.allclose(turned.load(row), 1 - plain.load(row) if inverted else plain.load(row))
        assert (turned.keys[row] != plain.keys[row]) == inverted
        assert (plain.load(row).min(), plain.load(row).max()) == (0, 1)  # 12 of 16 bits, stretched


def test_vindr_takes_the_majority_of_readers(build: Build) -> None:
    root = build("vindr_cxr")
    images = open_dataset("vindr_cxr", root, headers=True)
    one, two, test = (at(images, name) for name in ("aaa", "bbb", "ccc"))
    assert truth(one, "cardiomegaly", "normal", "pneumonia", "other_disease") == [1, 0, 0, 1]
    assert truth(two, "nodule_mass", "normal") == [0, 1]
    assert (one["label"], two["label"], test["label"]) == ("", "normal", "pneumonia")
    assert images.findings.columns.tolist().count("other_disease") == 1
    assert (one["sex"], one["age"], one["part"], test["part"]) == ("F", 61, "train", "test")
    assert not images.table["patient_known"].any()


def test_vindr_counts_readers_of_boxes_and_leaves_ties_open(build: Build, write_table: Callable[..., None]) -> None:
    root = build("vindr_cxr")
    for part in ("train", "test"):
        (root / "annotations" / f"image_labels_{part}.csv").unlink()
    boxes = [("aaa", "Cardiomegaly", "R1"), ("aaa", "Cardiomegaly", "R1"), ("aaa", "No finding", "R2")]
    write_table(root / "annotations" / "annotations_train.csv", "image_id,class_name,rad_id", *boxes)
    row = at(open_dataset("vindr_cxr", root), "aaa")
    assert unknown(row["is_cardiomegaly"])  # one of two readers, however many boxes
    assert unknown(row["is_normal"])


def test_openi_reads_terms_texts_and_views(build: Build) -> None:
    root = build("openi")
    images = open_dataset("openi", root)
    clear, heart, unindexed = (at(images, name) for name in ("CXR1", "CXR2", "CXR3"))
    assert images.left_out == {"lateral": 1}
    assert (clear["view"], clear["label"], clear["patient"]) == ("Frontal", "normal", "openi:CXR1")
    assert truth(heart, "cardiomegaly", "pulmonary_artery", "normal") == [1, 1, 0]
    assert unknown(unindexed["is_normal"])
    assert clear["text"] == "FINDINGS: The heart is XXXX."


def test_openi_opens_no_file_that_a_report_names(build: Build, tmp_path: Path) -> None:
    root = build("openi")
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    path = root / "ecgen-radiology" / "1.xml"
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    path.write_text(entity + path.read_text().replace("The heart is XXXX.", "The heart &e;."))
    images = open_dataset("openi", root)
    assert not images.table["text"].str.contains("SECRET").any()
    (root / "ecgen-radiology" / "2.xml").write_text("<eCitation><uId")
    with pytest.raises(OslerError) as refused:
        open_dataset("openi", root)
    assert refused.value.code is Code.ROW_INVALID


def test_rsna_finds_patients_by_the_mapping_only(build: Build) -> None:
    root = build("rsna_pneumonia")
    images = open_dataset("rsna_pneumonia", root)
    other, opaque, clear = (at(images, name) for name in ("0004cfab", "00436515", "00313ee0"))
    assert (other["label"], opaque["label"], clear["label"]) == ("other", "pneumonia", "normal")
    assert truth(opaque, "pneumonia", "normal", "other") == [1, 0, 0]
    assert other["patient"] == opaque["patient"] == "rsna_pneumonia:165"
    assert (opaque["view"], opaque["sex"], opaque["age"]) == ("AP", "F", 51)
    assert images.table["patient_known"].tolist() == [True, True, False]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").unlink()
    assert len(set(open_dataset("rsna_pneumonia", root).patients)) == 3


def test_rsna_refuses_tables_that_contradict_each_other(build: Build) -> None:
    root = build("rsna_pneumonia")
    path = root / "stage_2_detailed_class_info.csv"
    path.write_text(path.read_text().replace("00313ee0,Normal", "00313ee0,Lung Opacity"))
    with pytest.raises(OslerError) as refused:
        open_dataset("rsna_pneumonia", root)
    assert refused.value.code is Code.ROW_INVALID
