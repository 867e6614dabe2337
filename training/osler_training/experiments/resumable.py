"""Experiments that can be killed and resumed: a folder that belongs to one recipe, parts written whole, parallel tasks."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

RECIPE = "recipe.json"
# Sums depend on how many threads share them, so that a cell is computed by one, whatever the machine offers.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
Task = TypeVar("Task")
Result = TypeVar("Result")


def claim(folder: Path, digest: str, recipe: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder of an experiment, or check that it holds the same one.

    Args:
        folder: The folder.
        digest: What tells two experiments apart.
        recipe: The recipe, kept beside the digest.
        resume: Go on with what the folder holds.

    Raises:
        OslerError: `workspace-occupied` where it holds another experiment, or one that was not asked to be resumed.
    """
    marker = folder / RECIPE
    if folder.exists() and any(folder.iterdir()):
        same = marker.is_file() and read_json(marker)["digest"] == digest
        if not (resume and same):
            raise OslerError(
                Code.WORKSPACE_OCCUPIED,
                f"{folder} is not empty" + (" and holds something else than this recipe." if resume else "."),
                "Name a new folder" + ("." if resume else ", or give --resume to go on with the same recipe."),
            )
    write_json(marker, {"digest": digest, "recipe": dict(recipe)})


def write_json(path: Path, record: Any) -> None:
    """Write a record as JSON, whole or not at all."""
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def in_parallel(run: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Yield what `run` returns of each task, as they are finished, from processes of one thread each.

    A process of its own is used for one worker too: the same arithmetic gives the same bits whatever the number.

    Args:
        run: Picklable; it writes what must outlive the process.
        tasks: Picklable.
        workers: Number of processes.
    """
    with (
        _environment(ONE_THREAD),
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
        ) as pool,
    ):
        futures = [pool.submit(run, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(parent: int) -> None:
    """Compute with one thread, and end with the parent, so that a killed run leaves no orphan that writes on."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    import torch

    torch.set_num_threads(1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
