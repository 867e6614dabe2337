"""A recipe is taken as a whole or refused before anything is fitted, with the line to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.recipes import __file__ as recipes
from osler_training.shift.lab import open_lab
from osler_training.shift.lines import RecipeFile, parse_recipe, read_recipe
from osler_training.shift.plan import cells_of
from osler_training.shift.sites import class_names

Write = Callable[..., Path]


def refusal(path: Path) -> OslerError:
    with pytest.raises(OslerError) as caught:
        open_lab(read_recipe(path))
    return caught.value


def line_of(path: Path, start: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if line.strip().startswith(start))


def test_a_sound_recipe_is_taken(recipe_file: Write) -> None:
    lab, encoders = open_lab(read_recipe(recipe_file()))
    assert set(lab.sites) == {"home", "away"}
    assert list(encoders) == ["phantom_clip"]
    assert sorted(lab.bank.ids) == ["bilobed_nucleus", "multilobed_nucleus", "round_nucleus"]
    assert len(cells_of(lab.recipe)) == 4


@pytest.mark.parametrize(
    ("entry", "new", "words"),
    [
        ("seed", "sede: 3", "no such entry"),
        ("source", "source: mars", "mars"),
        ("splits", "splits: {train: 0.9, select: 0.2, calibrate: 0.1, test: 0.2}", "sum to 1"),
        ("classes", "classes: [neutrophil]", "at least 2"),
        ("encoders", "encoders: []", "encoders"),
    ],
)
def test_what_the_schema_refuses_names_the_line(recipe_file: Write, entry: str, new: str, words: str) -> None:
    path = recipe_file(**{entry: new})
    error = refusal(path)
    assert error.code is Code.USAGE
    assert words in error.message
    if entry != "source":
        assert f"line {line_of(path, new.partition(':')[0])} " in error.message


def test_what_is_no_yaml_names_the_line() -> None:
    with pytest.raises(OslerError, match=r"line 3: this is not YAML") as caught:
        parse_recipe("name: a\nseed: [1\n", "one.yaml")
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    ("entry", "new", "code"),
    [
        ("classes", "classes: [neutrophil, pneumonia]", Code.BANK_MISMATCH),
        ("classes", "classes: [neutrophil, lymphocyte, basophil]", Code.SUPPORT_INSUFFICIENT),
        ("smallest_class", "smallest_class: 9", Code.SUPPORT_INSUFFICIENT),
        ("splits", "splits: part", Code.USAGE),
    ],
)
def test_what_the_data_refuses_names_the_line(recipe_file: Write, entry: str, new: str, code: Code) -> None:
    path = (
        recipe_file(**{entry: new}) if entry != "smallest_class" else recipe_file(replicates=f"{new}\nreplicates: 50")
    )
    error = refusal(path)
    assert error.code is code
    assert "line " in error.message
    assert error.mend


def test_an_unset_variable_an_unknown_method_and_an_unknown_option_are_refused(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file()
    monkeypatch.delenv("CELLS")
    assert "CELLS" in refusal(path).message
    for old, new in (
        ("bottleneck:", "bottelneck:"),
        ("held_out_least", "held_out_lest"),
        ("feature_moments", "moment"),
    ):
        wrong = recipe_file()
        wrong.write_text(wrong.read_text().replace(old, new))
        assert refusal(wrong).code is Code.USAGE


def test_the_features_of_another_encoder_are_refused(recipe_file: Write) -> None:
    path = recipe_file(encoders="encoders: {phantom_clip: {digest: abc}}")
    error = refusal(path)
    assert error.code is Code.MODEL_HASH_MISMATCH
    assert f"line {line_of(path, 'encoders')} " in error.message


def with_table(cells: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], name: str) -> Path:
    root = tmp_path / "changed"
    shutil.copytree(cells, root)
    path = root / "home" / name
    change(pd.read_csv(path, keep_default_na=False)).to_csv(path, index=False)
    return root


def test_a_label_that_is_missing_is_refused(
    cells: Path, tmp_path: Path, recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file()
    root = with_table(cells, tmp_path, lambda t: t.assign(label=["nan", *t["label"][1:]]), "metadata.csv")
    monkeypatch.setenv("CELLS", str(root))
    error = refusal(path)
    assert "1 of 72 images have no label" in error.message
    assert f"line {line_of(path, 'home:')} " in error.message
    assert class_names(pd.Series(["NaN", " a ", None, ""])).tolist() == ["", "a", "", ""]


def test_a_constant_concept_is_refused_or_left_out(
    cells: Path, tmp_path: Path, recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = with_table(cells, tmp_path, lambda t: t.assign(round_nucleus=1), "concepts.csv")
    path = recipe_file()
    monkeypatch.setenv("CELLS", str(root))
    assert "round_nucleus" in refusal(path).message
    lenient = recipe_file(replicates="replicates: 50\nconstant_concepts: leave_out")
    monkeypatch.setenv("CELLS", str(root))
    lab, _ = open_lab(read_recipe(lenient))
    assert "round_nucleus" not in lab.bank.ids
    assert len(lab.bank.ids) == 2


@pytest.mark.parametrize(
    ("method", "kept", "code", "words"),
    [
        ("fine_tuned_vit:", "", Code.PART_MISSING, "the recipe keeps none"),
        ("fine_tuned_vit:", "images: 32\n", Code.USAGE, "moments would not reach it"),
    ],
)
def test_a_method_on_pixels_is_told_what_it_lacks(
    recipe_file: Write, method: str, kept: str, code: Code, words: str
) -> None:
    path = recipe_file(replicates=f"{kept}replicates: 50")
    path.write_text(path.read_text().replace("  linear_probe:\n", f"  linear_probe:\n  {method}\n"))
    error = refusal(path)
    assert error.code is code
    assert words in error.message
    assert f"line {line_of(path, method)} " in error.message
    sound = path.read_text().replace(method, f"{method} {{preprocessing: [none]}}")
    path.write_text(sound if kept else sound.replace("replicates:", "images: 32\nreplicates:"))
    assert len(cells_of(open_lab(read_recipe(path))[0].recipe)) == 5


def test_a_patient_in_two_parts_is_refused(
    cells: Path, tmp_path: Path, recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ["train", "val", "val", "test"]  # two images a patient: patients 0 and 1 of each kind are torn apart
    root = with_table(
        cells, tmp_path, lambda t: t.assign(split_hint=[parts[n % 4] for n in range(len(t))]), "metadata.csv"
    )
    path = recipe_file(splits="splits: part")
    monkeypatch.setenv("CELLS", str(root))
    assert refusal(path).code is Code.PATIENT_OVERLAP


def test_every_shipped_recipe_of_the_lab_can_be_read() -> None:
    read = [
        read_recipe(path.stem)
        for path in Path(recipes).parent.glob("*.yaml")
        if "preprocessing:" in (text := path.read_text()) and "\nadapters:" not in text
    ]
    assert {"cells", "skin", "chest", "chest_confounded"} <= {one.recipe.name for one in read}
    for file in read:
        assert isinstance(file, RecipeFile)
        assert all(source.root.startswith("${") for source in file.recipe.data.values()), "a machine's path in a recipe"
