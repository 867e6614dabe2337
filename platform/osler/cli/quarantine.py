"""`osler quarantine`: what was refused, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "list, show and explain refused files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler quarantine`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list refused files by hash and code")
    listing.add_argument("--code", help="only those with this code")
    showing = actions.add_parser("show", help="show why one file was refused")
    showing.add_argument("file", help="first digits of the file's hash")
    explaining = actions.add_parser("explain", help="explain a code, or all of them")
    explaining.add_argument("code", nargs="?", help="a code such as not-dicom")
    for action in (listing, showing, explaining):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    actions = {"list": _list, "show": _show, "explain": _explain}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> CommandResult:
    reasons = _quarantine(arguments).reasons(arguments.code)
    files = [{"sha256": reason.sha256, "code": reason.code, "site": reason.site} for reason in reasons]
    lines = [f"{reason.sha256[:12]}  {reason.code:28s}  {reason.site}" for reason in reasons]
    return CommandResult({"files": files}, lines or ["The quarantine is empty."])


def _show(arguments: argparse.Namespace) -> CommandResult:
    quarantine = _quarantine(arguments)
    reason = quarantine.reason(arguments.file)
    path = quarantine.file(reason.sha256) if reason.kept else None
    lines = [f"{name}: {value}" for name, value in asdict(reason).items() if value not in ("", ())]
    payload = asdict(reason) | {"file": path and str(path)}
    return CommandResult(payload, [*lines, f"file: {path or 'could not be read, so it was not kept'}"])


def _explain(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive.explanations import explanations
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    known = explanations()
    if arguments.code is None:
        chosen = known
    elif arguments.code in known:
        chosen = {arguments.code: known[arguments.code]}
    else:
        raise OslerError(Code.USAGE, f"There is no refusal code {arguments.code}.", f"Known: {', '.join(known)}.")
    lines = [f"{code}: {meaning} {mend}".strip() for code, (meaning, mend) in chosen.items()]
    return CommandResult({code: {"meaning": pair[0], "mend": pair[1]} for code, pair in chosen.items()}, lines)


def _quarantine(arguments: argparse.Namespace) -> Any:
    from osler.archive.quarantine import Quarantine
    from osler.workspace import Workspace

    return Quarantine(Workspace.open(arguments.workspace).quarantine)
