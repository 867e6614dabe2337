"""Ingestion killed at random moments: after running again, the archive is that of a run that nobody killed."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from datetime import date
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.archive import Archive
from osler.ingest import ingest
from osler.workspace import Workspace

KILLS = int(os.environ.get("OSLER_KILLS", "6"))
IN_A_ROW = 3  # kills before the run that may finish
SEED = int(os.environ.get("OSLER_SEED", "0"))
TABLES = ("studies", "instances", "labels", "reports", "settings")
SOUND = 60


def run(source: Path, root: Path, workers: int) -> None:
    workspace = Workspace.open(root, create=True)
    labels = source.with_name("labels.csv")
    ingest(source, site="a", workspace=workspace, key=b"k" * 32, workers=workers, labels=labels, today=date(2024, 1, 1))


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
    for number in range(0, SOUND, 10):
        write_dicom(make_radiograph(number), f"{number:03d}-copy.dcm")
        write_dicom(make_radiograph(number, Modality="CR"), f"{number:03d}-conflict.dcm")
        write_dicom(make_radiograph(1000 + number, StudyDate="20990101"), f"{number:03d}-future.dcm")
        write_dicom(make_radiograph(2000 + number, PixelData=None), f"{number:03d}-empty.dcm")
        (tmp_path / "source" / f"{number:03d}.txt").write_text(f"note {number}")
    (tmp_path / "labels.csv").write_text("study_instance_uid,report,finding\n1.2.3.5.1,Clear.,normal\n")
    return tmp_path / "source"


def start(context: ForkServerContext, source: Path, root: Path) -> ForkServerProcess:
    process = context.Process(target=run, args=(source, root, 1))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(source: Path, tmp_path: Path) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(["great_expectations", "osler.ingest.pipeline"])
    started = time.monotonic()
    assert start(context, source, tmp_path / "whole").join() is None
    whole = time.monotonic() - started
    expected = state(tmp_path / "whole")
    draw = random.Random(SEED)
    killed = 0
    for root in (tmp_path / f"killed-{number}" for number in range(20 * KILLS)):
        for _again in range(IN_A_ROW):
            process = start(context, source, root)
            time.sleep(draw.uniform(0.0, whole))
            process.kill()
            process.join()
            killed += process.exitcode != 0
        run(source, root, workers=0)
        assert state(root) == expected, root.name
        if killed >= KILLS:
            break
    assert killed >= KILLS
