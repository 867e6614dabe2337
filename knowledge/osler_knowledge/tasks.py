"""Tasks: a kind of image for which the package ships a lexicon and a corpus, so that a bank can be built out of the box."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DEFAULT_TASK = "chest-radiograph"


def _root() -> Traversable:
    return resources.files("osler_knowledge")


def tasks() -> tuple[str, ...]:
    """Return the names of the tasks, in alphabetical order: one for each lexicon that is shipped."""
    files = _root().joinpath("lexicons").iterdir()
    return tuple(sorted(one.name.removesuffix(".yaml") for one in files if one.name.endswith(".yaml")))


def starter_file(task: str, kind: str, ending: str = "") -> Traversable:
    """Return what is shipped for a task: its file in `lexicons`, its folder in `corpora`.

    Raises:
        OslerError: `unknown-task`.
    """
    if task not in tasks():
        raise OslerError(
            Code.UNKNOWN_TASK, f"There is no task {task!r} with a starter corpus.", f"Use one of: {', '.join(tasks())}."
        )
    return _root().joinpath(kind, task + ending)
