"""Ingestion killed at random moments, again and again: in the end the archive is that of a run that nobody killed.

    OSLER_KILLS=50 OSLER_SEED=1 python -m pytest -s -m slow tests/platform/ingest/test_ingest_kills.py

Only a kill that ended a running process counts. Half of them end the main process alone, whose workers must not outlive
it by a write that matters; half end the whole group at once. The counts are printed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.archive import Archive
from osler.deid.options import BASIC, BurnedIn
from osler.ingest import ingest
from osler.workspace import Workspace

KILLS = int(os.environ.get("OSLER_KILLS", "6"))
SEED = int(os.environ.get("OSLER_SEED", "0"))
IN_A_ROW = (1, 5)  # kills before a workspace's run may finish
AT_START = 0.2  # share of the kills before any file was prepared
TABLES = ("studies", "instances", "labels", "reports", "settings")
SOUND = 150  # with copies and what is refused, some 250 files and two commits
PATIENCE_S = 120.0
# Text in pixels is not looked for: that loads models at each start, and writes nothing of its own.
UNJUDGED = replace(BASIC, burned_in=BurnedIn.UNJUDGED)


def run(source: Path, root: Path, workers: int) -> None:
    with suppress(PermissionError):  # the fork server may have made a group already
        os.setpgid(0, 0)
    workspace = Workspace.open(root, create=True)
    labels = source.with_name("labels.csv")
    ingest(
        source,
        site="a",
        workspace=workspace,
        key=b"k" * 32,
        workers=workers,
        labels=labels,
        today=date(2024, 1, 1),
        profile=UNJUDGED,
    )


def state(root: Path) -> dict[str, object]:
    """Return all that must be the same: files with their content, rows, reasons; not the diary of runs."""
    archive = Archive(Workspace.open(root))
    folders = (root / "archive", root / "quarantine")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    found: dict[str, object] = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in files if "index.sqlite" not in path.name
    }
    with sqlite3.connect(root / "archive" / "index.sqlite") as connection:
        for table in TABLES:
            found[table] = sorted(connection.execute(f"SELECT * FROM {table}"))
    return found | {"reasons": archive.quarantine.reasons()}


@pytest.fixture
def source(make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a folder of sound files, copies, conflicts and files that are refused at every stage."""
    for number in range(SOUND):
        write_dicom(make_radiograph(number), f"{number:03d}.dcm")
    for number in range(0, SOUND, 8):
        write_dicom(make_radiograph(number), f"{number:03d}-copy.dcm")
        write_dicom(make_radiograph(number, Modality="CR"), f"{number:03d}-conflict.dcm")
        write_dicom(make_radiograph(1000 + number, StudyDate="20990101"), f"{number:03d}-future.dcm")
        write_dicom(make_radiograph(2000 + number, PixelData=None), f"{number:03d}-empty.dcm")
        (tmp_path / "source" / f"{number:03d}.txt").write_text(f"note {number}")
    (tmp_path / "labels.csv").write_text("study_instance_uid,report,finding\n1.2.3.5.1,Clear.,normal\n")
    return tmp_path / "source"


@dataclass(frozen=True)
class Pace:
    """Seconds of a run that nobody kills: to its first prepared file, and from there to its end."""

    start: float
    work: float


class Runs:
    """Runs of ingestion, each a process of its own in a group of its own, forked from one that has imported it all."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._context: ForkServerContext = get_context("forkserver")
        self._context.set_forkserver_preload(["great_expectations", "osler.ingest.pipeline"])

    def start(self, root: Path, workers: int) -> ForkServerProcess:
        process = self._context.Process(target=run, args=(self._source, root, workers))
        process.start()
        return process

    def finish(self, root: Path, workers: int) -> Pace:
        """Run to the end, which must be a good one, and take the time."""
        started = time.monotonic()
        process = self.start(root, workers)
        wait_for_work(process, root)
        begun = time.monotonic()
        process.join()
        assert process.exitcode == 0
        return Pace(begun - started, time.monotonic() - begun)


def wait_for_work(process: ForkServerProcess, root: Path) -> None:
    """Wait for the first file in the waiting place; no longer than the run lasts."""
    waiting, patience = root / "archive" / ".incoming", time.monotonic() + PATIENCE_S
    while process.is_alive():
        assert time.monotonic() < patience
        with suppress(FileNotFoundError):
            if any(waiting.iterdir()):
                return
        time.sleep(0.002)


def kill(process: ForkServerProcess, whole_group: bool) -> bool:
    """Kill a run; returns whether it still ran. One that ended by itself must have ended well."""
    assert process.pid is not None
    try:
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or is so young that it has no group yet
        process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def share_left(root: Path, total: int) -> float:
    """Return the share of the sound files that a run has still to archive."""
    archived = sum(1 for path in (root / "archive").rglob("*.dcm") if path.parent.name != ".incoming")
    return max(0.0, 1.0 - archived / total)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(source: Path, tmp_path: Path) -> None:
    runs, draw, count = Runs(source), random.Random(SEED), Counter[str]()
    runs.finish(tmp_path / "warm", workers=2)  # the fork server's imports are no part of a run
    pace = runs.finish(tmp_path / "whole", workers=2)
    expected = state(tmp_path / "whole")
    while count["hit"] < KILLS:
        root = tmp_path / f"killed-{count['workspaces']}"
        count["workspaces"] += 1
        for _again in range(draw.randint(*IN_A_ROW)):
            workers, whole_group, at_start = draw.choice((1, 2)), draw.random() < 0.5, draw.random() < AT_START
            process = runs.start(root, workers)
            if at_start:
                time.sleep(draw.uniform(0.0, pace.start))
            else:
                wait_for_work(process, root)
                time.sleep(draw.uniform(0.0, pace.work * share_left(root, SOUND)))
            hit = kill(process, whole_group)
            kind = f"{'whole group' if whole_group else 'main process'}, {'start-up' if at_start else 'at work'}"
            count.update(["sent", *(["hit", kind] if hit else [])])
            if not hit:
                break
        runs.finish(root, workers=2)
        assert state(root) == expected, root.name
    seconds = {"start": round(pace.start, 1), "work": round(pace.work, 1)}
    print(json.dumps(count | {"seed": SEED, "all equal": True, "seconds of a whole run": seconds}))
