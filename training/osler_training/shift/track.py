"""A run of a recipe at the experiment tracker: one parent, and a nested run for each cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from osler.tracking import Run, open_tracker
from osler.workspace import Workspace
from osler_training.experiments.resumable import read_json, write_json
from osler_training.shift.cell import RESULT, TIMES

RUNS = "mlflow.json"
EXPERIMENT = "shift"
PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs
KEPT = ("table.json", "lab.json", "recipe.json")


def track(workspace: Workspace, out: Path) -> dict[str, Any]:
    """Log a finished run once, and return the identifiers of its runs; they are kept beside the table.

    A run that was resumed and has more cells than were logged is logged anew.
    """
    cells = sorted(path.parent for path in (out / "cells").glob(f"*/{RESULT}"))
    known = read_json(out / RUNS) if (out / RUNS).is_file() else None
    if known and set(known["cells"]) == {cell.name for cell in cells}:
        return dict(known)
    lab = read_json(out / "lab.json")
    tracker = open_tracker(workspace)
    runs: dict[str, str] = {}
    with tracker.run(EXPERIMENT, lab["recipe"]["name"]) as parent:
        parent.log_params({key: lab[key] for key in ("digest", "bank", "encoders", "splits")})
        for name in KEPT:
            parent.log_json(read_json(out / name), name)
        for cell in cells:
            with tracker.run(EXPERIMENT, cell.name, {PARENT: parent.id}) as run:
                _log_cell(run, cell)
                runs[cell.name] = run.id
    found = {"experiment": EXPERIMENT, "parent": parent.id, "cells": runs}
    write_json(out / RUNS, found)
    return found


def _log_cell(run: Run, cell: Path) -> None:
    record = read_json(cell / RESULT)
    run.log_params({**record["head"], "concepts": len(record["grounding"])})
    figures = {
        test: {name.replace("/", "."): one["value"] for name, one in scores.items()}
        for test, scores in record["scores"].items()
    }
    run.log_metrics({**figures, "select": record["select"], "seconds": read_json(cell / TIMES)["seconds"]})
    run.log_json(record, RESULT)
    for test in record["scores"]:
        run.log_folder(cell / test, f"predictions/{test}")
