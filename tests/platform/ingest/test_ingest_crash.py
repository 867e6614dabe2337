"""The command killed in the middle, and on a full disk."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.archive import Archive, Outcome
from osler.workspace import Workspace

Make = Callable[..., Dataset]
Write = Callable[..., Path]
FILES = 150


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "osler.cli.main", *map(str, arguments)]


def ingest_command(folder: Path, tmp_path: Path, workspace: Path) -> list[str]:
    options = ("--site", "a", "--workspace", workspace, "--key-file", tmp_path / "key", "--workers", 1, "--json")
    return command("ingest", folder, *options)


def rows(index: Path) -> int:
    """Count the rows of the intake so far; none before the index is made."""
    if not index.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{index}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM intake").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_killed_in_the_middle_and_run_again(make_radiograph: Make, write_dicom: Write, tmp_path: Path) -> None:
    for number in range(FILES):
        folder = write_dicom(make_radiograph(number), f"{number:03d}.dcm").parent
    (folder / "note.txt").write_text("text")
    arguments = ingest_command(folder, tmp_path, tmp_path / "w")
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while rows(tmp_path / "w" / "archive" / "index.sqlite") == 0 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"

    workspace = Workspace.open(tmp_path / "w")
    before = Archive(workspace).intake_counts()
    done = before[Outcome.ACCEPTED].total()
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 3, again.stderr
    summary = json.loads(again.stdout)
    assert (summary["accepted"], summary["duplicates"], summary["quarantined"]) == (FILES - done, done, 1)
    assert summary["received"] == FILES + 1
    archive = Archive(workspace)
    assert len(list(workspace.archive.rglob("*.dcm"))) == len(archive.studies()) == FILES
    assert not list(workspace.archive.rglob("*.part"))
    assert not (workspace.archive / ".incoming").exists()


@pytest.mark.system
def test_full_disk_loses_nothing(make_radiograph: Make, write_dicom: Write, tmp_path: Path) -> None:
    """A disk of 3 MB fills up; with room made, the same command finishes. A mount namespace of its own holds it."""
    for number in range(FILES):
        folder = write_dicom(make_radiograph(number), f"{number:03d}.dcm").parent
    disk = tmp_path / "disk"
    disk.mkdir()
    run = " ".join(map(str, ingest_command(folder, tmp_path, disk / "w")))
    script = f"""
        mount -t tmpfs -o size=3m tmpfs {disk} || exit 99
        {run} > {tmp_path}/first; echo $? > {tmp_path}/first.code
        mount -o remount,size=100m {disk}
        {run} > {tmp_path}/second; echo $? > {tmp_path}/second.code
    """
    subprocess.run(["unshare", "-rm", "sh", "-c", script], check=True, capture_output=True)
    assert (tmp_path / "first.code").read_text().strip() == "1"
    assert json.loads((tmp_path / "first").read_text())["error"]["code"] == "disk-full"
    assert (tmp_path / "second.code").read_text().strip() == "0"
    summary = json.loads((tmp_path / "second").read_text())
    assert summary["accepted"] + summary["duplicates"] == summary["received"] == FILES
    assert summary["accepted"] > 0
