"""A sweep over confounding: cells that can be stopped and resumed, then tables and a plot."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.experiments.sweep_cell import Setting, run_cell
from osler_training.experiments.sweep_report import write_report
from osler_training.recipes.recipe import Arm, SweepRecipe

Prepare = Callable[[SweepRecipe, Arm, int], Setting]
CELLS, RECIPE = "cells", "recipe.json"


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
    _open(recipe, out, resume)
    tasks = [(arm, recipe.seed + i) for arm in recipe.arms for i in range(recipe.seeds)]
    run = partial(_run_group, recipe, out, prepare)
    if workers == 1:
        for task in tasks:
            progress(run(task))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for future in as_completed([pool.submit(run, task) for task in tasks]):
                progress(future.result())
    return write_report(read_cells(out), out)


def read_cells(out: Path) -> list[dict[str, Any]]:
    """Return the finished cells in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / CELLS).glob("*.json"))]


def recipe_digest(recipe: SweepRecipe) -> str:
    """Return the SHA-256 of a recipe's values."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def _open(recipe: SweepRecipe, out: Path, resume: bool) -> None:
    marker = out / RECIPE
    if out.exists() and any(out.iterdir()):
        same = marker.is_file() and json.loads(marker.read_text(encoding="utf-8"))["digest"] == recipe_digest(recipe)
        if not (resume and same):
            raise OslerError(
                Code.WORKSPACE_OCCUPIED,
                f"{out} is not empty" + (" and holds something else than this sweep." if resume else "."),
                "Name a new folder" + ("." if resume else ", or give --resume to go on with the same recipe."),
            )
    (out / CELLS).mkdir(parents=True, exist_ok=True)
    record = {"digest": recipe_digest(recipe), "recipe": recipe.model_dump(mode="json")}
    marker.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _one_thread() -> None:
    torch.set_num_threads(1)


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
            scratch = paths[level].with_suffix(".part")
            scratch.write_text(json.dumps({"arm": arm.name, **cell}, indent=1) + "\n", encoding="utf-8")
            os.replace(scratch, paths[level])
    return f"{arm.name}, seed {seed}: {len(missing)} cells run, {len(paths) - len(missing)} were there"
