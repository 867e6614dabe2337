"""What the skin and blood-cell sets say, read as their owners document it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images, open_dataset

Build = Callable[[str], Path]


def concepts(images: Images, part: str) -> dict[str, float]:
    (row,) = [row for row, path in enumerate(images.table["path"]) if part in path]
    return {str(name): value for name, value in images.concepts.iloc[row].items()}


def test_ham10000_keeps_images_of_a_lesion_together(build: Build) -> None:
    images = open_dataset("ham10000", build("ham10000"))
    table = images.table
    assert table["label"].tolist() == ["benign_keratosis", "benign_keratosis", "melanoma"]
    assert table["patient"].nunique() == 2
    assert table["site"].tolist() == ["vidir_modern", "vidir_modern", "rosendahl"]
    assert (table["sex"][2], math.isnan(table["age"][2]), table["dx_type"][0]) == ("", True, "histo")
    assert images.findings["melanoma"].tolist() == [0, 0, 1]
    assert images.findings.sum(axis=1).tolist() == [1, 1, 1]


def test_bcn20000_reads_the_owners_table_and_the_challenges(
    build: Build, tmp_path: Path, write_table: Callable[..., None], write_picture: Callable[..., None]
) -> None:
    own = open_dataset("bcn20000", build("bcn20000"))
    assert own.table["label"].tolist() == ["melanoma", "nevus"]
    assert own.left_out == {"unlabelled": 1}
    assert own.table["patient_known"].tolist() == [True, False]
    root = tmp_path / "isic"
    codes = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    metadata = [("ISIC_1", 55.0, "", "BCN_0003884", "male"), ("ISIC_2", 30.0, "", "HAM_0000001", "male")]
    write_table(
        root / "ISIC_2019_Training_Metadata.csv", "image,age_approx,anatom_site_general,lesion_id,sex", *metadata
    )
    truth = [("ISIC_1", *["0.0"] * 7, "1.0", "0.0"), ("ISIC_2", "1.0", *["0.0"] * 8)]
    write_table(root / "ISIC_2019_Training_GroundTruth.csv", f"image,{codes}", *truth)
    for name in ("ISIC_1", "ISIC_2"):
        write_picture(root / "ISIC_2019_Training_Input" / f"{name}.jpg", "RGB")
    challenge = open_dataset("bcn20000", root)
    assert challenge.table["label"].tolist() == ["squamous_cell_carcinoma"]
    assert challenge.left_out == {"not-of-this-set": 1}


def test_pad_ufes20_knows_its_patients(build: Build) -> None:
    table = open_dataset("pad_ufes20", build("pad_ufes20")).table
    assert table["label"].tolist() == ["nevus", "basal_cell_carcinoma", "actinic_keratosis"]
    assert table["patient"].tolist() == ["pad_ufes20:PAT_1516", "pad_ufes20:PAT_46", "pad_ufes20:PAT_46"]
    assert (table["view"][0], table["fitzpatrick"][1], table["sex"].tolist()) == ("clinical", "3", ["", "F", "F"])


def test_ph2_answers_the_banks_questions(build: Build) -> None:
    images = open_dataset("ph2", build("ph2"))
    assert images.table["label"].tolist() == ["nevus", "nevus", "melanoma"]
    assert images.table["diagnosis"].tolist() == ["common nevus", "atypical nevus", "melanoma"]
    assert concepts(images, "IMD003") == {
        "asymmetry": 0, "typical_network": 1, "atypical_network": 0, "regular_globules": 0, "irregular_dots_globules": 0,
        "irregular_streaks": 0, "blue_white_veil": 0, "many_colours": 0, "few_colours": 1,
    }  # fmt: skip
    assert [concepts(images, name)["asymmetry"] for name in ("IMD155", "IMD063")] == [0, 1]  # one axis is not both
    assert [concepts(images, "IMD063")[name] for name in ("many_colours", "few_colours", "blue_white_veil")] == [
        1,
        0,
        1,
    ]
    assert (build("ph2") / images.table["mask"][0]).is_file()


def test_ph2_refuses_an_answer_that_is_none(build: Build) -> None:
    root = build("ph2")
    path = root / "PH2_dataset.txt"
    path.write_text(path.read_text().replace("3  4 ||\n", "3  7 ||\n", 1))
    with pytest.raises(OslerError) as refused:
        open_dataset("ph2", root)
    assert (refused.value.code, "IMD155" in refused.value.message) == (Code.ROW_INVALID, True)


def test_derm7pt_maps_its_seven_points(build: Build) -> None:
    images = open_dataset("derm7pt", build("derm7pt"))
    assert images.table["label"].tolist() == ["nevus", "melanoma", "benign_keratosis"]
    assert images.table["part"].tolist() == ["train", "val", "test"]
    nevus, melanoma, keratosis = (concepts(images, name) for name in ("NEL025", "NEL027", "NEL028"))
    assert [nevus[name] for name in ("irregular_streaks", "regular_globules", "dotted_vessels")] == [0, 1, 1]
    wanted = (
        "atypical_network",
        "irregular_blotch",
        "peppering",
        "scar_like_area",
        "blue_white_veil",
        "hairpin_vessels",
    )
    assert [melanoma[name] for name in wanted] == [1, 1, 1, 1, 1, 0]
    assert [keratosis[name] for name in ("peppering", "scar_like_area", "irregular_blotch")] == [1, 0, 0]
    assert all("Nel0" in path for path in open_dataset("derm7pt", build("derm7pt"), image="clinic").table["path"])


def test_pbc_joins_wbcatt_and_leaves_other_cells_open(build: Build) -> None:
    root = build("pbc")
    images = open_dataset("pbc", root)
    neutrophil, basophil = (concepts(images, name) for name in ("BNE_495078", "BA_100102"))
    assert [neutrophil[name] for name in ("segmented_nucleus", "multilobed_nucleus", "round_nucleus")] == [1, 1, 0]
    assert [neutrophil[name] for name in ("large_cell", "small_cell", "granules_absent", "pink_granules")] == [
        1,
        0,
        0,
        1,
    ]
    assert [basophil[name] for name in ("irregular_nucleus", "cytoplasm_vacuole", "granules_absent")] == [1, 1, 1]
    assert math.isnan(basophil["segmented_nucleus"])  # "irregular" does not say
    assert all(math.isnan(value) for value in concepts(images, "MMY_1").values())
    assert sorted(images.table["part"]) == ["", "train", "val"]
    assert open_dataset("pbc", root, annotated=True).left_out == {"not-annotated": 1}
    for table in root.glob("*.csv"):
        table.unlink()
    assert open_dataset("pbc", root).concepts.shape == (3, 0)
