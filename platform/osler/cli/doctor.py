"""`osler doctor`: does every part work here, and if not, what mends it?"""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "check decoders, encoder weights, disk, tracker and optional parts; each with the mend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace whose disk and tracker are checked."""
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Check every part; fails with `part-missing` where one that is needed does not work."""
    from osler.doctor import examine, failure

    checks = examine(arguments.workspace)
    lines = [check.line for check in checks]
    return CommandResult({"checks": [check.to_dict() for check in checks]}, lines, error=failure(checks))
