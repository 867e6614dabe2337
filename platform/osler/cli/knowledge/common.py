"""What the actions of `osler knowledge` share: the task, the corpus, and what a workspace keeps."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace
from osler_knowledge.tasks import DEFAULT_TASK

if TYPE_CHECKING:
    from osler.banks import BankStore
    from osler_knowledge.corpus import Corpus
    from osler_knowledge.lexicon import Lexicon

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
    """Return the corpus that the arguments name, else the one that the task's bank was built from, else the shipped one."""
    from osler_knowledge.corpus import load_corpus

    own = _store(arguments)
    return load_corpus(
        arguments.corpus or (own.own_corpus if own and own.own_corpus.is_dir() else None), arguments.task
    )


def add_lexicon(parser: argparse.ArgumentParser) -> None:
    """Let the user bring words for findings and observations of a task of their own."""
    parser.add_argument(
        "--lexicon", type=Path, metavar="FILE", help="findings and signs in YAML (default: the task's own)"
    )


def load_lexicon(arguments: argparse.Namespace) -> Lexicon:
    """Return the lexicon that the arguments name, else the one that the task's bank was built with, else the shipped one.

    Raises:
        OslerError: `source-missing`, `corpus-invalid`, `unknown-task`.
    """
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_knowledge.lexicon import Lexicon, starter_lexicon

    own = _store(arguments)
    held = own.own_lexicon if own and own.own_lexicon.is_file() else None
    path: Path | None = getattr(arguments, "lexicon", None) or held
    if path is None:
        return starter_lexicon(arguments.task)
    try:
        return Lexicon.from_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise OslerError(Code.SOURCE_MISSING, f"There is no lexicon at {path}.", "Name a YAML file.") from None
    except UnicodeDecodeError:
        raise OslerError(Code.CORPUS_INVALID, f"The lexicon {path} is not UTF-8 text.", "Save it as UTF-8.") from None


def keep_sources(arguments: argparse.Namespace, store: BankStore) -> None:
    """Keep the entries and words of one's own beside the versions of their bank, so that passages are found again."""
    from osler.files import write_atomically

    if arguments.corpus and arguments.corpus.resolve() != store.own_corpus:
        entries = sorted(arguments.corpus.glob("*.md"))
        for old in set(store.own_corpus.glob("*.md")) - {store.own_corpus / one.name for one in entries}:
            old.unlink()
        for one in entries:
            write_atomically(store.own_corpus / one.name, one.read_bytes())
    if arguments.lexicon:
        write_atomically(store.own_lexicon, arguments.lexicon.read_bytes())


def _store(arguments: argparse.Namespace) -> BankStore | None:
    """Return the bank of the task in the workspace, None where there is no workspace."""
    from osler.banks import BankStore
    from osler.workspace import MARKER, Workspace

    root: Path = arguments.workspace
    return BankStore(Workspace.open(root), arguments.task) if (root / MARKER).is_file() else None


def kept(arguments: argparse.Namespace, *names: str) -> Path | None:
    """Return the path of what the workspace keeps under `names`, or None where there is no workspace."""
    from osler.workspace import MARKER, Workspace

    root: Path = arguments.workspace
    return Workspace.open(root).knowledge.joinpath(*names) if (root / MARKER).is_file() else None


def bank_file(task: str) -> str:
    """Return the name under which a workspace keeps the bank of a task."""
    return f"{task}.json"
