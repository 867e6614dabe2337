"""`osler doctor`: does every part work here, and if not, what mends it?"""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "check decoders, encoder weights, disk, tracker and optional parts; each with the mend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace whose disk and tracker are checked."""
    add_workspace(parser)
    parser.add_argument("--api", metavar="URL", help="a running HTTP API, to be asked too")
    parser.add_argument(
        "--backups",
        type=Path,
        metavar="FOLDER",
        help="the folder of its copies (default: the audit log says when one was made)",
    )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Check every part; a failure where one that is needed does not work."""
    from osler.doctor import State, examine

    checks = examine(arguments.workspace, api=arguments.api, copies=arguments.backups)
    failed = any(check.state is State.FAIL for check in checks)
    payload = {"checks": [check.to_dict() for check in checks], "ok": not failed}
    return CommandResult(payload, [check.line for check in checks], failed=failed)
