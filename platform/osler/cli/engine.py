"""The options of subcommands whose work may be spread: over processes of this machine, or over a Ray cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osler.engine import EngineChoice

ENGINES = ("local", "ray")
WORKERS = (
    "worker processes, one thread each (default: 2, or one for each core of a Ray cluster); 0 decodes in this one: no limit "
    "holds, and a decoder that crashes ends the run"
)


def add_engine(parser: argparse.ArgumentParser, workers: str = WORKERS) -> None:
    """Add `--engine`, `--address` and `--workers`, the latter with its help text."""
    group = parser.add_argument_group("where the work is done")
    group.add_argument("--engine", choices=ENGINES, default="local", help="this machine, or Ray (default: local)")
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="head of a Ray cluster that this machine is a node of; left out, Ray is started here and ended again",
    )
    group.add_argument("--workers", type=int, metavar="N", help=workers)


def chosen_engine(arguments: argparse.Namespace, workers: int | None = None) -> EngineChoice:
    """Return the engine that was asked for.

    Args:
        arguments: With the options of `add_engine`.
        workers: Workers of this machine where none are named; the engine's own default where it is left out.

    Raises:
        OslerError: `usage` where the options do not go together.
    """
    from osler.engine import EngineChoice

    count = arguments.workers if arguments.engine == "ray" or arguments.workers is not None else workers
    return EngineChoice(arguments.engine, count, arguments.address)
