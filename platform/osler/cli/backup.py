"""`osler backup`: copies of a workspace, checked, and a workspace from a copy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace
from osler.cli.people import account

if TYPE_CHECKING:
    from osler.backup import Copied

SUMMARY = "copy a workspace while it is used, check a copy, make a workspace of one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler backup`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    making = actions.add_parser("make", help="copy the workspace into a new folder below FOLDER")
    making.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="on another disk, and kept as safe")
    making.add_argument("--actor", default=account(), help="who does it (default: this account)")
    add_workspace(making)
    listing = actions.add_parser("list", help="list the copies below FOLDER")
    listing.add_argument("folder", type=Path, metavar="FOLDER")
    checking = actions.add_parser("verify", help="check every file of a copy")
    checking.add_argument("copy", type=Path, metavar="COPY", help="one of `osler backup list`")
    restoring = actions.add_parser("restore", help="make a workspace of a copy")
    restoring.add_argument("copy", type=Path, metavar="COPY", help="one of `osler backup list`")
    restoring.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    restoring.add_argument("--database", metavar="URL", help="an empty PostgreSQL database for the records; else files")
    restoring.add_argument("--actor", default=account(), help="who does it (default: this account)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    return {"make": _make, "list": _list, "verify": _verify, "restore": _restore}[arguments.action](arguments)


def _make(arguments: argparse.Namespace) -> CommandResult:
    from osler import audit
    from osler.backup import make_backup
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    audit.record(workspace, actor=arguments.actor, action="backup.make", subject=arguments.into.name or "/")
    done = make_backup(workspace, arguments.into)
    shared = f", {done.shared} of them shared with the copy before" if done.shared else ""
    return _told(done, f"Copied {_size(done)}{shared} to {done.folder}.")


def _list(arguments: argparse.Namespace) -> CommandResult:
    from osler.backup import backups

    found = [str(path) for path in backups(arguments.folder)]
    return CommandResult({"copies": found}, found or [f"There is no copy in {arguments.folder}."])


def _verify(arguments: argparse.Namespace) -> CommandResult:
    from osler.backup import verify_backup

    done = verify_backup(arguments.copy)
    return _told(done, f"Whole: {_size(done)}.")


def _restore(arguments: argparse.Namespace) -> CommandResult:
    from osler.backup import restore_backup
    from osler.database import Address

    database = None if arguments.database is None else Address(arguments.database)
    done = restore_backup(arguments.copy, arguments.to, database=database, actor=arguments.actor)
    records = f"records into {database.shown}" if database else "records in files"
    result = _told(done, f"Restored {_size(done)} to {done.folder}, {records}.")
    lines = [*result.lines, f"Next: `osler doctor --workspace {done.folder}` examines it."]
    return CommandResult(result.payload | {"database": database.shown if database else None}, lines)


def _size(done: Copied) -> str:
    return f"{done.files} files, {done.bytes / 2**20:.1f} MiB"


def _told(done: Copied, line: str) -> CommandResult:
    payload = {"folder": str(done.folder), "files": done.files, "bytes": done.bytes, "shared": done.shared}
    return CommandResult(payload, [line])
