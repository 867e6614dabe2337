"""Recipes: the shipped ones are valid, wrong ones are refused with the entry at fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.recipes.recipe import DemoRecipe, SweepRecipe, load_recipe


def test_the_shipped_recipes_are_what_the_methods_ask_for() -> None:
    demo, sweep = load_recipe(DemoRecipe, "demo"), load_recipe(SweepRecipe, "sweep")
    assert list(demo.methods) == ["linear_probe", "report_probe", "fine_tuned_cnn", "bottleneck", "bottleneck_prior"]
    assert (demo.confounding, demo.shots) == (1.0, 4)
    assert demo.draws >= 20
    arms = {arm.nuisance: arm for arm in sweep.arms}
    assert arms["held_out"].levels == (0, 0.5, 0.8, 0.95, 1)
    assert sweep.seeds == 5
    assert "fine_tuned_encoder" in sweep.methods_of(arms["held_out"])
    assert {"bottleneck_prior", "linear_probe"} <= set(sweep.methods_of(arms["mimic"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 1}, "colour"),
        ({"draws": 5}, "draws"),
        ({"confounding": 1.5}, "confounding"),
        ({"splits": {"train": 0.9}}, "sum to 1"),
        ({"classes": ["one"]}, "classes"),
        ({"methods": {"oracle": {}}}, "oracle"),
        ({"methods": {"linear_probe": {"depth": 2}}}, "depth"),
    ],
)
def test_a_wrong_entry_is_named(change: dict[str, object], said: str, tmp_path: Path) -> None:
    record = load_recipe(DemoRecipe, "demo").model_dump(mode="json")
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(record | change), encoding="utf-8")
    with pytest.raises(OslerError, match=said) as caught:
        load_recipe(DemoRecipe, path)
    assert caught.value.code == Code.USAGE


def test_a_recipe_that_is_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        load_recipe(DemoRecipe, tmp_path / "none.yaml")
    assert caught.value.code == Code.SOURCE_MISSING
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(OslerError, match="not YAML"):
        load_recipe(DemoRecipe, tmp_path / "broken.yaml")
