"""Runs `osler`, each command in a process of its own, without the libraries being imported anew for each.

One process imports the libraries and then forks for each command. What a command does to its process ends with it, as where a
terminal had started it; only the seconds that every command spends on the same imports are spent once. Osler's own modules are
left to the command. Run as a script, this file is that process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LIBRARIES = (
    "captum.attr",
    "great_expectations",
    "highdicom",
    "matplotlib.pyplot",
    "mlflow",
    "open_clip",
    "pandas",
    "pydicom",
    "scipy.stats",
    "skimage.measure",
    "sklearn.linear_model",
    "sqlalchemy.orm",
    "torch",
    "torchvision",
)


class Commands:
    """A process that is ready to run commands; started at the first one."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def run(
        self, words: tuple[str, ...], folder: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in a folder with an environment, and return what it printed and its exit code."""
        if self._server is None:
            command = [sys.executable, str(Path(__file__).resolve())]
            self._server = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        with tempfile.TemporaryDirectory() as kept:
            printed = Path(kept) / "stdout", Path(kept) / "stderr"
            order = {"words": words, "folder": str(folder), "environment": environment, "printed": [*map(str, printed)]}
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            out, error = (path.read_text(encoding="utf-8") for path in printed)
        return subprocess.CompletedProcess(words, code, out, error)

    def close(self) -> None:
        """End the process."""
        if self._server is not None:
            self._server.communicate(timeout=60)
            self._server = None


def _await_order() -> dict[str, object] | None:
    """Answer each order with the exit code of a child; returns the order in that child, and nothing at the end."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads must not be forked"
    gc.freeze()  # or each child would copy what it only looks through
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _become(order: dict[str, object]) -> None:
    """Take the folder, the environment and the places to print to of an order."""
    os.chdir(str(order["folder"]))
    os.environ.clear()
    os.environ.update(dict(order["environment"]))  # type: ignore[call-overload]
    sources = [(os.devnull, os.O_RDONLY), *((path, os.O_WRONLY | os.O_CREAT) for path in order["printed"])]  # type: ignore[attr-defined]
    for number, (path, flags) in enumerate(sources):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv[:] = ["osler", *order["words"]]  # type: ignore[misc]


if __name__ == "__main__":
    taken = _await_order()
    if taken is not None:
        _become(taken)
        from osler.cli.main import main

        sys.exit(main())
