"""What holds for every data set: patients, values, missing files, hostile names, and what each says it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.propose import build_bank
from osler_training.datasets import HELPERS, dataset_names, open_dataset
from osler_training.datasets.concept_maps import MAPS
from osler_training.datasets.images import COLUMNS

PUBLIC = [name for name in dataset_names() if name not in ("any_csv", "archive", "phantom")]
# A table of the set, a piece of an image's name in it, and what stands there in a hostile copy.
NAMED = {
    "nih_cxr14": ("Data_Entry_2017.csv", "00000002_000.png"),
    "chexpert": ("train.csv", "CheXpert-v1.0-small/train/patient00001"),
    "openi": ("ecgen-radiology/2.xml", "CXR2_IM-0652-1001"),
    "rsna_pneumonia": ("stage_2_train_labels.csv", "00313ee0"),
    "ham10000": ("HAM10000_metadata.csv", "ISIC_0027419"),
    "bcn20000": ("BCN_20k_train.csv", "BCN_0000000001"),
    "pad_ufes20": ("metadata.csv", "PAT_1516_1765_530"),
    "ph2": ("PH2_dataset.txt", "IMD003"),
    "derm7pt": ("meta/meta.csv", "NEL/NEL025"),
    "padchest": ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "216840111366964000"),
    "vindr_cxr": ("annotations/image_labels_test.csv", "ccc"),
}


def some_image(root: Path) -> Path:
    """An image that the default options read."""
    kinds = (".png", ".jpg", ".JPG", ".bmp", ".dcm", ".dicom")
    unread = re.compile(r"lateral|_lesion|Nel0|0004\.png|000002\.png|MMY|64000?2\.png|-3001|0000000004")
    return next(path for path in sorted(root.rglob("*")) if path.suffix in kinds and not unread.search(path.name))


def test_there_is_a_layout_for_every_data_set(layouts: dict[str, object]) -> None:
    assert sorted(layouts) == sorted(PUBLIC)
    assert len(PUBLIC) == 13


@pytest.mark.parametrize("name", dataset_names())
def test_a_module_has_what_the_registry_needs(name: str) -> None:
    module = import_module(f"osler_training.datasets.{name}")
    assert module.SUMMARY
    first, *options = inspect.signature(module.read).parameters.values()
    assert first.name == "root"
    assert {one.kind for one in options} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", PUBLIC)
def test_images_are_sound(name: str, build: Callable[[str], Path]) -> None:
    images = open_dataset(name, build(name))
    assert len(images) >= 2
    assert list(images.table.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert len(set(images.keys)) == len(images)
    assert all(patient.startswith(f"{name}:") and len(patient) > len(name) + 1 for patient in images.patients)
    assert (images.table["site"] != "").all()
    assert set(images.table["sex"]) <= {"M", "F", "O", ""}
    assert images.table["age"].dtype == float
    for row in range(len(images)):
        values = images.load(row)
        assert values.dtype == np.float32
        assert 0.0 <= values.min() <= values.max() <= 1.0
        assert values.ndim == (2 if images.table["view"][row] in ("PA", "AP", "Frontal", "") and name != "pbc" else 3)
    assert set(images.findings.columns) >= set(images.table["label"]) - {""}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_missing_image_is_refused_or_counted(name: str, build: Callable[[str], Path]) -> None:
    root = build(name)
    whole = len(open_dataset(name, root))
    gone = some_image(root)
    gone.unlink()
    with pytest.raises(OslerError) as refused:
        open_dataset(name, root)
    assert refused.value.code is Code.IMAGE_MISSING
    assert refused.value.message.startswith("1 listed images are missing")
    assert gone.stem in refused.value.message
    left = open_dataset(name, root, missing="skip")
    assert len(left) == whole - 1
    assert left.left_out["image-missing"] == 1


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("evil", ["../../outside", "/etc/outside"])
def test_a_name_that_leads_out_is_never_followed(name: str, evil: str, build: Callable[[str], Path]) -> None:
    root = build(name)
    file, word = NAMED[name]
    path = root / file
    hostile = evil if name not in ("derm7pt", "vindr_cxr", "rsna_pneumonia", "ph2") else f"../{evil}"
    if name == "chexpert":
        hostile = f"{evil}/patient00001"
    path.write_text(path.read_text().replace(word, hostile))
    if name == "rsna_pneumonia":
        other = root / "stage_2_detailed_class_info.csv"
        other.write_text(other.read_text().replace(word, hostile))
    with pytest.raises(OslerError) as refused:
        open_dataset(name, root, missing="skip")
    assert refused.value.code is Code.PATH_OUTSIDE


@pytest.mark.parametrize("name", PUBLIC)
def test_an_empty_folder_is_refused_with_what_is_lacking(name: str, tmp_path: Path) -> None:
    with pytest.raises(OslerError) as refused:
        open_dataset(name, tmp_path)
    assert refused.value.code is Code.SOURCE_MISSING


@pytest.mark.parametrize("name", sorted(MAPS))
def test_concepts_of_a_map_are_in_its_bank(name: str) -> None:
    assert set(MAPS[name].concepts) <= set(build_bank(task=MAPS[name].task).ids)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mnist", {}),
        ("images", {}),
        ("ham10000", {"mising": "skip"}),
        ("ham10000", {"missing": "ignore"}),
        ("archive", {}),
        ("chexpert", {"uncertain": "maybe"}),
        ("mimic_cxr", {"views": "PA"}),
        ("any_csv", {"label_map": ["a"]}),
    ],
)
def test_unknown_names_and_options_are_refused(name: str, options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(OslerError) as refused:
        open_dataset(name, tmp_path, **options)
    assert refused.value.code is Code.USAGE


def test_helpers_are_no_data_sets() -> None:
    for name in HELPERS:
        assert not hasattr(import_module(f"osler_training.datasets.{name}"), "SUMMARY")
