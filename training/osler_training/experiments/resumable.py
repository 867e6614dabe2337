"""Experiments that can be killed and resumed: a folder that belongs to one recipe, parts written whole, parallel tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from osler.engine import UNLIMITED, Engine, EngineChoice
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

RECIPE = "recipe.json"
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

    A process of its own is used for one worker too: the same arithmetic gives the same bits whatever the number. A process
    that somebody kills costs its task a second try.

    Args:
        run: Picklable; it writes what must outlive the process, and may find a part of that there already.
        tasks: Picklable.
        workers: Number of processes.
    """
    with open_pool(EngineChoice(workers=workers)) as pool:
        yield from pool.map(run, tasks, ordered=False)


def open_pool(engine: EngineChoice, folders: Sequence[Path] = ()) -> Engine:
    """Return workers for tasks of seconds and more, without limits.

    Args:
        engine: The engine.
        folders: Folders that every worker must see.
    """
    return engine.open(UNLIMITED, ("torch",), ahead=1, folders=folders)
