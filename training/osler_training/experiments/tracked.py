"""Experiments as the tracker of a workspace holds them, laid out again as the run left its folder, and compared."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from osler.tracking import open_tracker, run_artifacts, was_tracked
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.table import SECONDS
from osler_training.adaptation.track import EXPERIMENT as BENCH
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.records import Records
from osler_training.experiments.resumable import read_json, write_json
from osler_training.shift.cell import RESULT
from osler_training.shift.plan import Cell
from osler_training.shift.scores import metric_estimate, shown
from osler_training.shift.track import EXPERIMENT as SHIFT
from osler_training.shift.track import KEPT, PARENT, RUNS

KINDS = (SHIFT, BENCH)
FOLDER, MOST = "experiments", 1000
NAMING = ("source", "seed", "encoder", "preprocessing", "method", "test")


@dataclass(frozen=True)
class Tracked:
    """One experiment.

    Attributes:
        id: Of its parent run at the tracker.
        kind: `shift` or `adaptation-bench`.
        name: Of its recipe.
        started: ISO 8601 in UTC.
        finished: Whether it was logged to its end.
        cells: Nested run by name.
    """

    id: str
    kind: str
    name: str
    started: str
    finished: bool
    cells: Mapping[str, str]


def experiments(workspace: Workspace) -> list[Tracked]:
    """Return the experiments of a workspace, the latest first; none where nothing was ever tracked."""
    if not was_tracked(workspace):
        return []
    client = open_tracker(workspace).client
    found = []
    for kind in KINDS:
        experiment = client.get_experiment_by_name(kind)
        runs = _runs(client, experiment.experiment_id) if experiment is not None else []
        nested: dict[str, dict[str, str]] = {}
        for run in runs:
            if parent := run.data.tags.get(PARENT):
                nested.setdefault(parent, {})[run.info.run_name] = run.info.run_id
        for run in runs:
            if PARENT not in run.data.tags:
                started = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds")
                cells = nested.get(run.info.run_id, {})
                done = run.info.status == "FINISHED"
                found.append(Tracked(run.info.run_id, kind, run.info.run_name, started, done, cells))
    return sorted(found, key=lambda one: one.started, reverse=True)


def _runs(client: Any, experiment: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment], max_results=MOST, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def unfold(workspace: Workspace, one: Tracked) -> Path:
    """Return a folder laid out as the run left its own, in the cache.

    Raises:
        OslerError: `source-missing` where its artifacts are not in the workspace any more.
    """
    folder = workspace.cache / FOLDER / one.id
    parent = run_artifacts(workspace, one.kind, one.id)
    if (folder / RUNS).is_file():
        return folder
    if lost := [name for name in KEPT if not (parent / name).is_file()]:
        raise OslerError(
            Code.SOURCE_MISSING,
            f"The files of the experiment {one.name!r} are not in this workspace ({', '.join(lost)}).",
            "Bring the folder `artifacts` of the workspace back, or run the recipe again.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    for cell, run in one.cells.items():
        result = run_artifacts(workspace, one.kind, run) / RESULT
        if result.is_file():
            (folder / "cells" / cell).mkdir(parents=True, exist_ok=True)
            record = read_json(result)
            write_json(folder / "cells" / cell / RESULT, _home_first(record) if one.kind == SHIFT else record)
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(parent / name, folder / name)
    if one.kind == BENCH:
        write_json(folder / SECONDS, [])  # times of a fit are not logged
    write_json(folder / RUNS, {"experiment": one.kind, "parent": one.id, "cells": dict(one.cells)})
    return folder


def _home_first(record: dict[str, Any]) -> dict[str, Any]:
    """Return a shift cell's record with its source before other sites: the tracker sorts names, and readers go by that order."""
    home = record["cell"]["source"]
    for key in ("scores", "concepts"):
        if home in record.get(key, {}):
            record[key] = {home: record[key].pop(home), **record[key]}
    return record


@dataclass(frozen=True)
class Compared:
    """One figure in two experiments.

    Attributes:
        name: Source, seed, encoder, preprocessing, method and test.
        first: The figure in the first, as JSON with its interval.
        second: The same in the second.
        difference: Second less first.
        paired: Whether both predicted the very same studies, so that the difference is drawn patient by patient.
    """

    name: Mapping[str, str]
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    difference: Mapping[str, Any]
    paired: bool


def compare(workspace: Workspace, first: Tracked, second: Tracked, *, replicates: int = 500) -> list[Compared]:
    """Return the goal metric of the cells that two experiments of `osler shift` share, with the difference.

    Raises:
        OslerError: `source-missing`; `usage` where the two have other goal metrics, or one is no experiment of `shift`.
    """
    if {first.kind, second.kind} != {SHIFT}:
        raise OslerError(Code.USAGE, "Only experiments of `osler shift` are compared.", "Choose two of them.")
    tables = [read_json(unfold(workspace, one) / "table.json") for one in (first, second)]
    metric = tables[0]["metric"]
    if tables[1]["metric"] != metric:
        raise OslerError(
            Code.USAGE, "The two experiments have other goal metrics.", "Choose two with the same `goal_metric`."
        )
    own, other = ({tuple(row[key] for key in NAMING): row for row in table["goal"]} for table in tables)
    return [
        _compared(workspace, (first, second), (own[name], other[name]), metric, replicates)
        for name in own
        if name in other
    ]


def _compared(
    workspace: Workspace,
    both: tuple[Tracked, Tracked],
    rows: tuple[Mapping[str, Any], Mapping[str, Any]],
    metric: str,
    replicates: int,
) -> Compared:
    named = {key: str(rows[0][key]) for key in NAMING}
    records = [_records(workspace, one, row) for one, row in zip(both, rows, strict=True)]
    difference: dict[str, Any] = {"value": None, "ci_low": None, "ci_high": None}
    a, b = records
    paired = a is not None and b is not None and a.patients == b.patients and a.studies == b.studies
    if a is not None and b is not None:
        drawn: list[Estimate] = [
            metric_estimate(one, metric, seed=0 if paired else place, replicates=replicates)
            for place, one in enumerate((a, b))
        ]
        difference = shown(drawn[1].minus(drawn[0]), len(a))
    return Compared(named, rows[0], rows[1], difference, paired)


def _records(workspace: Workspace, one: Tracked, row: Mapping[str, Any]) -> Records | None:
    """Return the predictions of a cell, None where they are not in the workspace."""
    cell = Cell(row["source"], row["seed"], row["encoder"], row["preprocessing"], row["method"])
    run = one.cells.get(cell.name)
    folder = run_artifacts(workspace, one.kind, run) / "predictions" / str(row["test"]) if run else None
    return Records.load(folder) if folder is not None and folder.is_dir() else None
