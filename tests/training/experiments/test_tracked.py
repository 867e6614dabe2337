"""Experiments of a workspace's tracker, laid out again as their runs left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from osler.workspace import Workspace
from osler_training.experiments.resumable import read_json, write_json
from osler_training.experiments.tracked import BENCH, SHIFT, Tracked, unfold
from osler_training.shift.cell import RESULT
from osler_training.shift.track import KEPT


def laid_out(workspace: Workspace, kind: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return a cell's record as `unfold` lays it out from artifacts that hold it as the tracker would."""
    parent, cell = (workspace.artifacts / kind / run / "artifacts" for run in ("parent", "nested"))
    for folder in (parent, cell):
        folder.mkdir(parents=True)
    for name in KEPT:
        (parent / name).write_text("{}", encoding="utf-8")
    write_json(cell / RESULT, record)
    one = Tracked("parent", kind, "a recipe", "2024-05-01T00:00:00+00:00", True, {"one": "nested"})
    return read_json(unfold(workspace, one) / "cells" / "one" / RESULT)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


def test_a_shift_cell_names_its_source_before_other_sites(workspace: Workspace) -> None:
    record = {"cell": {"source": "b"}, "scores": {"a": 1, "b": 2, "c": 3}, "concepts": {"a": [], "b": []}}
    found = laid_out(workspace, SHIFT, record)
    assert list(found["scores"]) == ["b", "a", "c"]
    assert list(found["concepts"]) == ["b", "a"]


def test_a_cell_of_the_adaptation_bench_stays_as_it_is(workspace: Workspace) -> None:
    record = {"cell": {"source": "b", "target": "c"}, "concepts": 7}
    assert laid_out(workspace, BENCH, record) == record
