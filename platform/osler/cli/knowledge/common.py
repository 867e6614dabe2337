"""What the actions of `osler knowledge` share: the task, the corpus, and what a workspace keeps."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace
from osler_knowledge.tasks import DEFAULT_TASK

if TYPE_CHECKING:
    from osler_knowledge.corpus import Corpus

INDEX_FOLDER = "index"


def add_action(
    actions: Any, name: str, summary: str, act: Callable[[argparse.Namespace], CommandResult]
) -> argparse.ArgumentParser:
    """Declare an action with the options that all of them take."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    add_workspace(parser)
    parser.add_argument("--task", default=DEFAULT_TASK, metavar="TASK", help=f"kind of image (default: {DEFAULT_TASK})")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="Markdown entries (default: the task's own corpus)")
    parser.set_defaults(act=act)
    return parser


def load(arguments: argparse.Namespace) -> Corpus:
    """Return the corpus that the arguments name."""
    from osler_knowledge.corpus import load_corpus

    return load_corpus(arguments.corpus, arguments.task)


def kept(arguments: argparse.Namespace, *names: str) -> Path | None:
    """Return the path of what the workspace keeps under `names`, or None where there is no workspace."""
    from osler.workspace import MARKER, Workspace

    root: Path = arguments.workspace
    return Workspace.open(root).knowledge.joinpath(*names) if (root / MARKER).is_file() else None


def bank_file(task: str) -> str:
    """Return the name under which a workspace keeps the bank of a task."""
    return f"{task}.json"
