"""A bench at the experiment tracker: one parent, and a nested run for each cell with its patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from osler.tracking import Run, open_tracker
from osler.workspace import Workspace
from osler_training.adaptation.cell import PATCHES, RESULT, TIMES
from osler_training.experiments.resumable import read_json, write_json
from osler_training.shift.track import PARENT, RUNS

EXPERIMENT = "adaptation-bench"
KEPT = ("table.json", "lab.json", "recipe.json")
NAMING = ("source", "seed", "encoder", "method", "target", "preprocessing")


def track(workspace: Workspace, out: Path) -> dict[str, Any]:
    """Log a finished bench once, and return the identifiers of its runs; they are kept beside the table.

    A bench that was resumed and has more cells than were logged is logged anew.
    """
    cells = sorted(path.parent for path in (out / "cells").glob(f"*/{RESULT}"))
    known = read_json(out / RUNS) if (out / RUNS).is_file() else None
    if known and set(known["cells"]) == {cell.name for cell in cells}:
        return dict(known)
    lab, table = read_json(out / "lab.json"), read_json(out / "table.json")
    tracker = open_tracker(workspace)
    runs: dict[str, str] = {}
    with tracker.run(EXPERIMENT, lab["recipe"]["name"]) as parent:
        parent.log_params({key: lab[key] for key in ("digest", "bank", "encoders", "splits", "halves")})
        for name in KEPT:
            parent.log_json(read_json(out / name), name)
        for cell in cells:
            with tracker.run(EXPERIMENT, cell.name, {PARENT: parent.id}) as run:
                _log_cell(run, cell, table)
                runs[cell.name] = run.id
    found = {"experiment": EXPERIMENT, "parent": parent.id, "cells": runs}
    write_json(out / RUNS, found)
    return found


def _log_cell(run: Run, cell: Path, table: dict[str, Any]) -> None:
    record = read_json(cell / RESULT)
    run.log_params({key: value for key, value in record.items() if key not in ("rows", "failed")})
    rows = [row for row in table["rows"] if all(row[key] == record["cell"][key] for key in NAMING)]
    figures = {
        f"{row['stream']}.{row['adapter'].replace(' ', '_')}.{row['n']}": {
            "balanced_accuracy": row["value"],
            "gain": row["gain"]["no_change"]["value"],
            "harmed": row["harmed"]["no_change"]["share"],
        }
        for row in rows
    }
    seconds = [second for row in read_json(cell / TIMES) for second in row["seconds"]]
    run.log_metrics({**figures, "seconds_a_fit": float(np.median(seconds)) if seconds else 0.0})
    run.log_json(record, RESULT)
    run.log_json(rows, "before_after.json")
    run.log_folder(cell / PATCHES, PATCHES)
