"""The small demonstration, run once with the network blocked and shared by the tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from .command import Commands

RECIPE = Path(__file__).with_name("small.yaml")

# Loaded by every Python that inherits PYTHONPATH, so that worker processes are blocked too.
BLOCKER = """
import socket

def _refuse(*arguments, **options):
    raise OSError("the network is blocked in this test")

class _Socket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            _refuse()
        return super().connect(address)

    connect_ex = connect

socket.socket = _Socket
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = _refuse
"""


@dataclass(frozen=True)
class Osler:
    """Runs the command in a folder, with the network blocked."""

    folder: Path
    blocker: Path
    commands: Commands

    def __call__(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.blocker), "OMP_NUM_THREADS": "1"}
        done = self.commands.run(words, self.folder, environment)
        assert done.returncode == expect, (
            f"osler {' '.join(words)} gave {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done


def _blocker(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    return folder


def _finished(folder: Path) -> bool:
    return (folder / "workspace" / "summary.json").is_file()


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """What runs the commands of this folder's tests."""
    held = Commands()
    yield held
    held.close()


@pytest.fixture
def osler(tmp_path: Path, commands: Commands) -> Osler:
    """The command in an empty folder."""
    return Osler(tmp_path, _blocker(tmp_path.parent / "blocker"), commands)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> Path:
    """A folder that holds `workspace`, a finished small demonstration; parallel test processes share it.

    Where OSLER_TEST_DEMO names a folder, as in CI, runs of the tests that follow each other have a copy each of the first one's.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, kept = shared / "demo", Path(os.environ.get("OSLER_TEST_DEMO", shared / "demo"))
    with FileLock(f"{folder}.lock"):
        if not _finished(kept):
            kept.mkdir(exist_ok=True)
            start = time.monotonic()
            run = Osler(kept, _blocker(shared / "demo-blocker"), commands)
            done = run("demo", "--recipe", str(RECIPE), "--workspace", "workspace")
            (kept / "printed.txt").write_text(done.stdout, encoding="utf-8")
            print(f"small demonstration: {time.monotonic() - start:.0f} s")
        if not _finished(folder):
            shutil.copytree(kept, folder)
    return folder
