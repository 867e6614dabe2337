"""The demonstration keeps a model with whatever it needs to be opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from osler.bottleneck.artefact import ENCODER, load_bottleneck
from osler.tracking import Tracker
from osler.workspace import Workspace
from osler_training.demo.experiment import Setting, fit_methods
from osler_training.experiments.confounded import Trial
from osler_training.recipes.recipe import DemoRecipe, load_recipe


@pytest.mark.parametrize("shipped", [True, False])
def test_an_encoder_from_elsewhere_is_kept_beside_the_model(
    shipped: bool, trial: Trial, tracker: Tracker, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "hashes.json").write_text("{}")
    recipe = load_recipe(DemoRecipe, "demo").model_copy(
        update={"methods": {"bottleneck_prior": {}}, "encoder": "imagenet_lite0" if shipped else str(own)}
    )
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    said: list[Any] = []
    for _ in range(2):  # a second run replaces the first
        fit_methods(workspace, Setting(trial, trial.target_test), recipe, tracker, said.append)
    model = workspace.models / "bottleneck_prior"
    assert load_bottleneck(model).encoder_digest == trial.problem.encoder.digest
    assert (model / ENCODER / "hashes.json").is_file() is not shipped
    assert len(said) == 2
