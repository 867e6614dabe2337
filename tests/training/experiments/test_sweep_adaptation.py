"""Adaptation inside a sweep: measured in every variant of the guard, with what the guards refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.confounded import Trial, run_method
from osler_training.experiments.confounding import Renderings
from osler_training.experiments.sweep import read_cells, run_sweep
from osler_training.experiments.sweep_adaptation import adapt_cell
from osler_training.experiments.sweep_cell import Setting
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.problem import Cohort
from osler_training.recipes.recipe import AdaptRule, Arm, SweepRecipe

RULE = AdaptRule(levels=(1.0,), support_share=0.5, tolerances={"tti_reading": 0.005, "gated_only": 1.0})


@pytest.fixture(scope="module")
def world(world_of: Any) -> Any:
    """Concepts that say more than they must, so that one can be spared."""
    return world_of(signal=1.0)


@pytest.fixture(scope="module")
def trial(world: Any) -> Trial:
    return world.trial()


@pytest.fixture(scope="module")
def classifier(trial: Trial) -> BottleneckClassifier:
    fitted = run_method("bottleneck_prior", trial, {}, seed=0).classifier
    assert isinstance(fitted, BottleneckClassifier)
    return fitted


@pytest.fixture(scope="module")
def target(world: Any, classifier: BottleneckClassifier) -> Cohort:
    """Return a site where one concept fires in every image."""
    cohort, direction = world.cohort("b", 400, -1, 70), classifier.pipeline.scorer.weights[1]
    return replace(cohort, features=Features(cohort.features.pooled + 10 * direction / np.linalg.norm(direction)))


@pytest.fixture(scope="module")
def results(classifier: BottleneckClassifier, target: Cohort, trial: Trial) -> dict[str, dict[str, Any]]:
    return adapt_cell(classifier, target, trial.source_test, RULE, seed=3)


def test_a_misfiring_concept_is_mended_and_the_source_is_untouched(results: dict[str, dict[str, Any]]) -> None:
    assert list(results) == ["tti_reading", "gated_only"]
    for record in results.values():
        assert record["gain"] > 0
        assert record["ci"]["gain"][0] > 0
        assert record["source_after"] == record["source_before"]
        assert record["draws"] == 20
    json.dumps(results)


def test_only_the_guard_of_the_source_is_missing_from_the_second_variant(results: dict[str, dict[str, Any]]) -> None:
    guarded, gated = (results[name] for name in ("tti_reading", "gated_only"))
    assert gated["unchanged"] <= guarded["unchanged"]
    assert "ungated-source" not in gated["refused_by"]
    for record in results.values():
        refused = record["refused_by"]
        # A draw may be refused by both guards.
        assert max(refused.values(), default=0) <= round(20 * record["unchanged"]) <= sum(refused.values())


def test_what_is_no_bottleneck_is_not_adapted(trial: Trial, target: Cohort) -> None:
    probe = run_method("linear_probe", trial, {}, seed=0).classifier
    with pytest.raises(TypeError):
        adapt_cell(probe, target, trial.source_test, RULE, seed=0)


def test_a_patient_of_the_source_among_the_targets_is_refused(
    classifier: BottleneckClassifier, target: Cohort, trial: Trial
) -> None:
    stranger = replace(target, patients=(trial.source_test.patients[0], *target.patients[1:]))
    with pytest.raises(OslerError) as caught:
        adapt_cell(classifier, stranger, trial.source_test, RULE, seed=0)
    assert caught.value.code is Code.PATIENT_OVERLAP


def prepare(world: Any, trial: Trial, target: Cohort, recipe: SweepRecipe, arm: Arm, seed: int) -> Setting:
    y = np.arange(recipe.patients) % 2
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(len(y), 12)) + world.signs[y]
    names = tuple(f"x{i}" for i in range(len(y)))
    off, on = (
        Cohort(world.features(latent, np.full(len(y), side), np.random.default_rng(seed)), y, names) for side in (-1, 1)
    )
    splits = split_patients(names, y, recipe.splits.model_dump(), seed=seed)
    problem = trial.problem
    return Setting(
        problem.classes,
        Renderings(off, on),
        splits,
        problem.reference,
        problem.bank,
        problem.encoder,
        {"nuisance": arm.name},
        other_site=target,
    )


def test_a_sweep_reports_the_gain_beside_its_leads(world: Any, trial: Trial, target: Cohort, tmp_path: Path) -> None:
    recipe = SweepRecipe.model_validate(
        {
            "name": "adapted",
            "seed": 0,
            "seeds": 2,
            "classes": ["class_0", "class_1"],
            "reference_diagnoses": ["class_0", "class_1"],
            "patients": 600,
            "reference_studies": 1200,
            "methods": {"linear_probe": {}, "bottleneck_prior": {}},
            "arms": [{"name": "held_out", "nuisance": "held_out", "levels": [0, 1]}],
            "adaptation": RULE.model_dump(),
        }
    )
    summary = run_sweep(recipe, tmp_path / "out", partial(prepare, world, trial, target))
    for cell in read_cells(tmp_path / "out"):
        assert set(cell["adaptation"]) == ({"tti_reading", "gated_only"} if cell["level"] == 1 else set())
    gains = summary.query("quantity == 'gain'").set_index("method")
    assert set(gains.index) == {"tti_reading", "gated_only"}
    assert (gains["seeds"] == 2).all()
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    for variant in gains.index:
        chosen = cells.query("method == @variant and test == 'target'").pivot_table(
            index="seed", columns="quantity", values="value"
        )
        np.testing.assert_allclose(chosen["target_before"] + chosen["gain"], chosen["target_after"], atol=2e-4)
        assert gains.loc[variant, "mean"] == pytest.approx(chosen["gain"].mean(), abs=1e-4)
    # The plot shows accuracies alone.
    assert set(summary.query("quantity == 'accuracy'")["method"]) == {"linear_probe", "bottleneck_prior"}
