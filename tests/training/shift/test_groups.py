"""Groups reach the methods that ask for them, help the worst one where a confounder is planted, and are asked for in time."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.methods import fit_method
from osler_training.shift.groups import asks_for_groups, group_names, grouping
from osler_training.shift.lab import Lab, open_lab
from osler_training.shift.lines import parse_recipe
from osler_training.shift.problems import Encoded, Setting

KINDS, STAINS = ("neutrophil", "eosinophil"), ("pink", "blue")
EACH = 150  # cells of each kind and stain
RECIPE = """\
name: planted
seed: 3
task: blood-cell
classes: [neutrophil, eosinophil]
data:
  home: {dataset: any_csv, root: "${CELLS}", options: {concepts_file: concepts.csv}}
source: home
confound:
  home:
    attribute: stain
    values: [pink, blue]
    sizes: {train: 60, select: 20, calibrate: 10, id_test: 10, ood_test: 30}
    exceptions: {train: 8, select: 8}
encoders: [phantom_clip]
methods:
  linear_probe:
  robust: {method: linear_probe, options: {group_dro: true}}
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory with a table of kinds and stains; nobody looks at its pictures, but no two are alike."""
    folder = tmp_path_factory.mktemp("stains")
    (folder / "images").mkdir()
    rows = []
    for number, (kind, stain) in enumerate((kind, stain) for kind in KINDS for stain in STAINS for _ in range(EACH)):
        picture = np.full((2, 2, 3), number // 256, np.uint8)
        picture[0, 0] = number % 256
        Image.fromarray(picture).save(folder / f"images/{number}.png")
        rows.append({"image": f"images/{number}.png", "patient_id": f"p{number}", "label": kind, "stain": stain})
    table = pd.DataFrame(rows)
    table.assign(age=np.arange(len(table)) % 90, site=np.where(table["stain"] == "pink", "Bern", "Graz")).to_csv(
        folder / "metadata.csv", index=False
    )
    table.assign(multilobed_nucleus=(table["label"] == "neutrophil").astype(int))[
        ["image", "multilobed_nucleus"]
    ].to_csv(folder / "concepts.csv", index=False)
    return folder


@pytest.fixture
def recipe(laboratory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CELLS", str(laboratory))
    return RECIPE


@cache
def opened(text: str) -> Lab:
    return open_lab(parse_recipe(text, "one.yaml"))[0]


def planted(lab: Lab, seed: int) -> Setting:
    """Features of two columns: one tells the kind a little, the other tells the stain well, which goes with the kind."""
    site, rng = lab.sites["home"], np.random.default_rng(seed)
    kind = 2.0 * site.y - 1
    stain = np.where(site.images.table["stain"] == "blue", 1.0, -1.0)
    x = np.stack([kind * 0.8 + rng.normal(size=len(site)), stain * 1.5 + 0.5 * rng.normal(size=len(site))], axis=1)
    source = Encoded("home", np.arange(len(site)), Features(x.astype(np.float32)))
    encoder: Any = SimpleNamespace(digest="planted", width=2)
    return Setting(
        lab.recipe, lab.sites, lab.parts["home", 3], {"source": source, "reversed": source}, lab.bank, encoder
    )


def test_a_group_is_a_class_with_a_value_of_the_confounder(recipe: str) -> None:
    lab = opened(recipe)
    setting = planted(lab, 0)
    train, table = setting.problem.train, lab.sites["home"].images.table
    assert setting.group_names == ("neutrophil, pink", "neutrophil, blue", "eosinophil, pink", "eosinophil, blue")
    assert train.groups is not None
    assert np.bincount(train.groups).tolist() == [60, 8, 8, 60]
    told = [f"{kind}, {stain}" for kind, stain in zip(table["label"], table["stain"], strict=True)]
    rows = lab.parts["home", 3].fit["train"]
    assert [setting.group_names[one] for one in train.groups] == [told[row] for row in rows]
    assert len(setting.problem.select) == 2 * (20 + 8)
    assert len(setting.problem.calibrate) == 2 * 10


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_group_fares_better_where_a_confounder_is_planted(recipe: str, seed: int) -> None:
    setting = planted(opened(recipe), seed)
    reversed_test = setting.cohort(setting.encoded["source"], setting.parts.tests["reversed"][1])
    members = reversed_test.groups
    assert members is not None

    def worst(name: str) -> float:
        entry = setting.recipe.methods[name]
        fitted = fit_method(entry.method or name, setting.problem, entry.options, seed=0)
        right = fitted.probabilities(reversed_test).argmax(1) == reversed_test.y
        return min(float(right[members == group].mean()) for group in np.unique(members))

    assert worst("robust") > worst("linear_probe") + 0.1


def test_without_exceptions_a_group_is_a_class(recipe: str) -> None:
    setting = planted(opened(recipe.replace("    exceptions: {train: 8, select: 8}\n", "")), 0)
    groups, y = setting.problem.train.groups, setting.problem.train.y
    assert groups is not None
    np.testing.assert_array_equal(groups, np.where(y == 0, 0, 3))


def unconfounded(text: str) -> str:
    start, end = text.index("confound:"), text.index("encoders:")
    return text[:start] + "splits: {train: 0.5, select: 0.15, calibrate: 0.15, test: 0.2}\n" + text[end:]


def test_sites_within_a_source_make_groups_and_another_column_may(recipe: str) -> None:
    lab = opened(unconfounded(recipe))
    assert grouping(lab.recipe, lab.sites["home"]) == "site"
    assert group_names(lab.recipe, lab.sites["home"])[0] == "neutrophil, site Bern"
    by_stain = opened(unconfounded(recipe) + "groups: stain\n")
    assert group_names(by_stain.recipe, by_stain.sites["home"])[3] == "eosinophil, stain pink"


@pytest.mark.parametrize(
    ("change", "code", "line", "words"),
    [
        (("options: {concepts", "options: {site: a, concepts"), Code.USAGE, "methods.robust", "robust asks for groups"),
        (("encoders:", "groups: stian\nencoders:"), Code.USAGE, "groups", "no column 'stian'"),
        (("encoders:", "groups: age\nencoders:"), Code.SUPPORT_INSUFFICIENT, "groups", "fewer than 4 images"),
    ],
)
def test_groups_that_are_missing_are_told_before_anything_is_fitted(
    recipe: str, change: tuple[str, str], code: Code, line: str, words: str
) -> None:
    with pytest.raises(OslerError) as caught:
        opened(unconfounded(recipe).replace(*change))
    assert caught.value.code is code
    assert f"({line})" in caught.value.message
    assert words in caught.value.message
    assert re.search("groups: COLUMN|Use one of .*stain|Use a column", caught.value.mend)


def test_a_method_that_is_wrapped_asks_too() -> None:
    assert asks_for_groups("group_dro_probe", {})
    assert asks_for_groups("permuted_concepts", {"of": "bottleneck", "options": {"group_dro": True}})
    assert not asks_for_groups("random_concepts", {"of": "bottleneck_prior"})
    assert not asks_for_groups("linear_probe", {})
