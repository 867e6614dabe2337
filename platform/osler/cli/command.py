"""What a subcommand is: a light module named by an entry point of the group `osler.commands`.

Such a module holds `SUMMARY: str`, `add_arguments(parser)` and `run(arguments) -> CommandResult`, and imports heavy
libraries only inside `run`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, cast

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED_SOME = 0, 1, 2, 3


@dataclass(frozen=True)
class CommandResult:
    """What a subcommand answers.

    Attributes:
        payload: The JSON object of `--json`.
        lines: The same, for a person.
        refused: Number of inputs that were refused; above zero the exit code is 3.
        failed: Whether the answer itself is a failure, as of `osler doctor`; the exit code is then 1.
    """

    payload: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    refused: int = 0
    failed: bool = False


class CommandModule(Protocol):
    """The interface of a subcommand's module."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the words and options that the subcommand takes."""

    def run(self, arguments: argparse.Namespace) -> CommandResult:
        """Do the work; errors are raised as `OslerError`."""
        ...


def installed_commands() -> dict[str, EntryPoint]:
    """Return the subcommands that the installed distributions offer, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group="osler.commands"), key=lambda entry: entry.name)}


def load(entry: EntryPoint) -> CommandModule:
    """Import the module of one subcommand."""
    return cast(CommandModule, entry.load())


def say(text: str) -> None:
    """Report progress on stderr, so that stdout holds the result alone."""
    print(text, file=sys.stderr, flush=True)


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add the option that most subcommands share."""
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="DIR", help="the workspace (default: ./workspace)"
    )
