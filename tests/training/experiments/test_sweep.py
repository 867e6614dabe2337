"""The sweep: leads grow with confounding, cells are resumed, tables add up."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.confounding import Renderings
from osler_training.experiments.sweep import read_cells, run_sweep
from osler_training.experiments.sweep_cell import Setting
from osler_training.experiments.sweep_report import over_seeds
from osler_training.fit.problem import Cohort
from osler_training.recipes.recipe import Arm, SweepRecipe


def recipe(**changes: Any) -> SweepRecipe:
    record: dict[str, Any] = {
        "name": "small",
        "seed": 0,
        "seeds": 2,
        "classes": ["class_0", "class_1"],
        "reference_diagnoses": ["class_0", "class_1"],
        "patients": 800,
        "reference_studies": 1200,
        "methods": {"linear_probe": {}, "bottleneck_prior": {}},
        "arms": [{"name": "held_out", "nuisance": "held_out", "levels": [0, 0.8, 1]}],
    }
    return SweepRecipe.model_validate(record | changes)


def prepare(world: Any, trial: Any, counter: list[int], recipe: SweepRecipe, arm: Arm, seed: int) -> Setting:
    counter.append(seed)
    rng = np.random.default_rng(seed)
    n = recipe.patients
    y = np.arange(n) % 2
    latent = rng.normal(size=(n, 12)) + 0.6 * world.signs[y]
    names = tuple(f"x{i}" for i in range(n))
    off, on = (Cohort(world.features(latent, np.full(n, s), np.random.default_rng(seed)), y, names) for s in (-1, 1))
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
    )


@pytest.fixture(scope="module")
def swept(world: Any, trial: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("sweep") / "out"
    return out, run_sweep(recipe(), out, partial(prepare, world, trial, []))


def lead(summary: pd.DataFrame, test: str, level: float) -> float:
    chosen = summary.query("quantity == 'lead' and method == 'linear_probe' and test == @test and level == @level")
    return float(chosen["mean"].iloc[0])


def test_the_lead_grows_with_confounding_and_is_small_without(swept: tuple[Path, pd.DataFrame]) -> None:
    _, summary = swept
    assert abs(lead(summary, "balanced", 0)) < 0.05
    assert lead(summary, "reversed", 1) > lead(summary, "reversed", 0.8) > lead(summary, "reversed", 0)
    assert lead(summary, "balanced", 1) > 0.1
    assert lead(summary, "id", 1) < 0


def test_accuracies_of_the_three_tests_fit_together(swept: tuple[Path, pd.DataFrame]) -> None:
    """At complete confounding the balanced test is the mean of the in-domain and the reversed one: the same images."""
    for cell in read_cells(swept[0]):
        if cell["level"] == 1:
            for row in cell["accuracy"].values():
                assert row["balanced"]["value"] == pytest.approx((row["id"]["value"] + row["reversed"]["value"]) / 2)


def test_files_are_written(swept: tuple[Path, pd.DataFrame]) -> None:
    out, summary = swept
    assert len(read_cells(out)) == 6
    assert len(pd.read_csv(out / "cells.csv")) == 6 * 3 * (2 + 1)
    assert len(pd.read_csv(out / "summary.csv")) == len(summary) == 3 * 3 * 3
    tables = (out / "tables.md").read_text(encoding="utf-8")
    top = summary.query("quantity == 'lead' and test == 'balanced' and level == 1").iloc[0]
    assert f"{100 * top['mean']:+.1f} [{100 * top['ci_low']:.1f}, {100 * top['ci_high']:.1f}]" in tables
    assert tables.count("| linear probe |") == 5
    with Image.open(out / "sweep.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_finished_cells_are_not_run_again(swept: tuple[Path, pd.DataFrame], world: Any, trial: Any) -> None:
    out, summary = swept
    (out / "cells" / "held_out-1-0.8.json").unlink()
    calls: list[int] = []
    again = run_sweep(recipe(), out, partial(prepare, world, trial, calls), resume=True)
    assert calls == [1]
    pd.testing.assert_frame_equal(again, summary)


def test_another_recipe_or_no_resume_is_refused(swept: tuple[Path, pd.DataFrame], world: Any, trial: Any) -> None:
    out, _ = swept
    before = sorted(path.name for path in out.rglob("*"))
    for other, resume in ((recipe(), False), (recipe(seed=9), True)):
        with pytest.raises(OslerError) as caught:
            run_sweep(other, out, partial(prepare, world, trial, []), resume=resume)
        assert caught.value.code == Code.WORKSPACE_OCCUPIED
    assert sorted(path.name for path in out.rglob("*")) == before


def test_means_over_seeds_have_students_interval() -> None:
    table = pd.DataFrame({"value": [0.6, 0.7, 0.8]}).assign(
        arm="a", quantity="accuracy", method="m", test="id", level=1.0, ci_low=0.5, ci_high=[0.7, 0.8, 0.9]
    )
    row = over_seeds(table).iloc[0]
    assert row["mean"] == pytest.approx(0.7)
    # Independent normal figures of widths 0.2, 0.3 and 0.4: the interval of their mean is narrower by the rule of sums.
    assert row["fixed_high"] - row["fixed_low"] == pytest.approx(np.sqrt(0.2**2 + 0.3**2 + 0.4**2) / 3)
    assert (row["fixed_high"] + row["fixed_low"]) / 2 == pytest.approx(0.7)
    assert row["ci_high"] - row["mean"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)


def test_cells_name_their_data(swept: tuple[Path, pd.DataFrame]) -> None:
    cell = json.loads((swept[0] / "cells" / "held_out-0-1.json").read_text())
    assert cell["provenance"] == {"nuisance": "held_out"}
    assert set(cell["seconds"]) == {"linear_probe", "bottleneck_prior"}
