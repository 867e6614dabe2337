"""`osler audit`: who did what to which data, and whether that log is still whole."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.audit import Entry

SUMMARY = "show the audit log, or prove that nobody changed it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler audit`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    showing = actions.add_parser("show", help="show the entries, the oldest first")
    showing.add_argument("--actor", help="only what this person did")
    showing.add_argument("--do", metavar="ACTION", help="only entries of this action, such as quarantine.release")
    showing.add_argument("--subject", metavar="START", help="only entries whose subject begins so")
    showing.add_argument("--last", type=int, metavar="N", help="only the last N of them")
    verifying = actions.add_parser("verify", help="check every entry, the chain between them and the log's end")
    verifying.add_argument(
        "--noted",
        metavar="NUMBER:SHA256",
        help="number and hash of an entry, noted elsewhere, that must still be there",
    )
    for action in (showing, verifying):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    return _show(arguments) if arguments.action == "show" else _verify(arguments)


def _show(arguments: argparse.Namespace) -> CommandResult:
    from osler.audit import entries
    from osler.workspace import Workspace

    chosen = [
        entry
        for entry in entries(Workspace.open(arguments.workspace))
        if arguments.actor in (None, entry.actor)
        and arguments.do in (None, entry.action)
        and entry.subject.startswith(arguments.subject or "")
    ]
    if arguments.last is not None:
        chosen = chosen[-arguments.last :] if arguments.last > 0 else []
    lines = [_line(entry) for entry in chosen]
    return CommandResult({"entries": [asdict(entry) for entry in chosen]}, lines or ["There is no such entry."])


def _line(entry: Entry) -> str:
    details = ", ".join(f"{name}: {value}" for name, value in entry.details.items())
    line = f"{entry.number}  {entry.time}  {entry.actor}  {entry.action}  {entry.subject}  {details}".rstrip()
    # Osler writes printable words only; a log that someone else changed must not steer the terminal.
    return "".join(character if character.isprintable() else "?" for character in line)


def _verify(arguments: argparse.Namespace) -> CommandResult:
    from osler.audit import verify
    from osler.workspace import Workspace

    found = verify(Workspace.open(arguments.workspace), _noted(arguments.noted))
    lines = [f"{found.count} entries, each with its hash and following from the one before it."]
    if found.fault is not None:
        lines.append(f"Entry {found.entry}: {found.fault} [audit-broken]")
    elif found.count:
        lines.append(f"Note this elsewhere, and give it to the next check: --noted {found.count}:{found.head}")
    if found.torn:
        lines.append(f"A crash cut the last line off ({found.torn} bytes); the next entry will say so.")
    return CommandResult(asdict(found), lines, failed=found.fault is not None)


def _noted(text: str | None) -> tuple[int, str] | None:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and len(digest) == 64):
        raise OslerError(Code.USAGE, "--noted is a number, a colon and a hash.", "Copy it from an earlier check.")
    return int(number), digest
