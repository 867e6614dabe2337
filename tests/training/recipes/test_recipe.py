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


def test_the_second_sweep_differs_from_the_first_in_its_encoder_alone() -> None:
    first, second = (load_recipe(SweepRecipe, name) for name in ("sweep", "sweep_imagenet"))
    assert (first.encoder, second.encoder) == ("phantom_clip", "imagenet_lite0")
    apart = {"name", "encoder", "methods"}
    assert first.model_dump(exclude=apart) == second.model_dump(exclude=apart)
    # The encoder trained end to end is there the network that `fine_tuned_cnn` trains anyhow.
    assert {**second.methods, "fine_tuned_encoder": first.methods["fine_tuned_encoder"]} == first.methods


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


def test_another_encoder_makes_another_recipe() -> None:
    sweep = load_recipe(SweepRecipe, "sweep").model_copy(update={"encoder_sha256": "0" * 64})
    assert sweep.with_encoder(None) is sweep
    changed = sweep.with_encoder("imagenet_lite0")
    assert (changed.encoder, changed.encoder_sha256) == ("imagenet_lite0", None)
    assert changed.model_dump(exclude={"encoder", "encoder_sha256"}) == sweep.model_dump(
        exclude={"encoder", "encoder_sha256"}
    )


def test_a_recipe_that_is_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        load_recipe(DemoRecipe, tmp_path / "none.yaml")
    assert caught.value.code == Code.SOURCE_MISSING
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(OslerError, match="not YAML"):
        load_recipe(DemoRecipe, tmp_path / "broken.yaml")
