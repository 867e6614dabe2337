"""A sweep over confounding: cells that can be stopped and resumed, then tables and a plot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from osler_training.experiments.resumable import claim, in_parallel, read_json, write_json
from osler_training.experiments.sweep_cell import Setting, run_cell
from osler_training.experiments.sweep_report import write_report
from osler_training.recipes.recipe import Arm, SweepRecipe

Prepare = Callable[[SweepRecipe, Arm, int], Setting]
CELLS = "cells"


def run_sweep(
    recipe: SweepRecipe,
    out: Path,
    prepare: Prepare,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Run every cell that is not there yet, then write the report.

    Args:
        recipe: What to run.
        out: Folder for cells, tables and plot.
        prepare: Makes the data of one arm and one seed; picklable where `workers` is above 1.
        workers: Processes, each with one thread; each takes one arm and seed at a time.
        resume: Go on with what `out` holds of the same recipe.
        progress: Receives a line a cell.

    Returns:
        Means over seeds, see `sweep_report.over_seeds`.

    Raises:
        OslerError: `workspace-occupied` where `out` holds another sweep, or one that was not asked to be resumed.
    """
    claim(out, recipe_digest(recipe), recipe.model_dump(mode="json"), resume=resume)
    tasks = [(arm, recipe.seed + i) for arm in recipe.arms for i in range(recipe.seeds)]
    run = partial(_run_group, recipe, out, prepare)
    for line in map(run, tasks) if workers == 1 else in_parallel(run, tasks, workers):
        progress(line)
    return write_report(read_cells(out), out)


def read_cells(out: Path) -> list[dict[str, Any]]:
    """Return the finished cells in the order of their names."""
    return [read_json(path) for path in sorted((out / CELLS).glob("*.json"))]


def recipe_digest(recipe: SweepRecipe) -> str:
    """Return the SHA-256 of a recipe's values."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def _run_group(recipe: SweepRecipe, out: Path, prepare: Prepare, task: tuple[Arm, int]) -> str:
    arm, seed = task
    paths = {level: out / CELLS / f"{arm.name}-{seed}-{level:g}.json" for level in arm.levels}
    missing = [level for level, path in paths.items() if not path.exists()]
    if missing:
        setting = prepare(recipe, arm, seed)
        for level in missing:
            cell = run_cell(
                setting, level, recipe.methods_of(arm), recipe.lead, seed=seed, adaptation=recipe.adaptation
            )
            write_json(paths[level], {"arm": arm.name, **cell})
    return f"{arm.name}, seed {seed}: {len(missing)} cells run, {len(paths) - len(missing)} were there"
