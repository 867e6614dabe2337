"""`osler audit`: who did what to which data, and whether that log is still whole."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace
from osler.cli.people import account

if TYPE_CHECKING:
    from osler.audit import Entry
    from osler.audit.export import Exported

SUMMARY = "show the audit log, prove that nobody changed it, or hand it to an audit repository"


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
    exporting = actions.add_parser("export", help="write it as DICOM audit messages (PS3.15 A.5), or send it as syslog")
    _add_export(exporting)
    for action in (showing, verifying, exporting):
        add_workspace(action)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--form", choices=("dicom", "syslog"), help="a message a line, or as syslog sends them (default: dicom)"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="FILE", help="a new file")
    where.add_argument("--to", metavar="ADDRESS", help="an audit repository: syslog+tls://HOST:PORT")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="certificates to trust (default: the system's)")
    parser.add_argument("--identity", type=Path, metavar="PEM", help="our certificate and key, where it asks for one")
    parser.add_argument(
        "--after", metavar="NUMBER:SHA256", help="only entries after this one, which an earlier export ended with"
    )
    parser.add_argument("--since", type=_moment, metavar="TIME", help="only entries from this moment on (ISO 8601)")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="only entries before this moment")
    parser.add_argument("--source", metavar="NAME", help="name of this installation (default: this machine's)")
    parser.add_argument("--site", default="", metavar="NAME", help="name of the hospital")
    parser.add_argument("--actor", default=account(), help="who does it (default: this account)")
    parser.add_argument(
        "--unsound", action="store_true", help="also of a log that the check refuses: what can be read of it"
    )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    return {"show": _show, "verify": _verify, "export": _export}[arguments.action](arguments)


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

    found = verify(Workspace.open(arguments.workspace), _noted(arguments.noted, "--noted"))
    lines = [f"{found.count} entries, each with its hash and following from the one before it."]
    if found.fault is not None:
        lines.append(f"Entry {found.entry}: {found.fault} [audit-broken]")
    elif found.count:
        lines.append(f"Note this elsewhere, and give it to the next check: --noted {found.count}:{found.head}")
    if found.torn:
        lines.append(f"A crash cut the last line off ({found.torn} bytes); the next entry will say so.")
    return CommandResult(asdict(found), lines, failed=found.fault is not None)


def _export(arguments: argparse.Namespace) -> CommandResult:
    import socket

    from osler.audit.export import Origin, Range, export_log
    from osler.audit.transport import Address
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if arguments.to and arguments.form == "dicom":
        raise OslerError(Code.USAGE, "What is sent is syslog.", "Leave --form out, or write a file with --out.")
    host = socket.gethostname()
    done = export_log(
        Workspace.open(arguments.workspace),
        "syslog" if arguments.to else arguments.form or "dicom",
        Range(_noted(arguments.after, "--after"), arguments.since, arguments.until),
        Origin(arguments.source or host, arguments.site, host),
        actor=arguments.actor,
        out=arguments.out,
        to=Address.parse(arguments.to, arguments.ca, arguments.identity) if arguments.to else None,
        unsound=arguments.unsound,
    )
    place = arguments.to or str(arguments.out)
    return CommandResult(asdict(done) | {"place": place}, _told(done, place), failed=done.checked.fault is not None)


def _told(done: Exported, place: str) -> list[str]:
    of = f", of the entries {done.first} to {done.last}" if done.messages else ""
    lines = [f"{done.messages} messages{of}: {place}", f"SHA-256 of what was written: {done.sha256}"]
    if done.confirmed is not None:
        lines[1] = f"SHA-256 of what was sent: {done.sha256}"
    if done.confirmed is False:
        lines.append("The repository did not confirm the end of the connection: look there that all has arrived.")
    checked = done.checked
    if checked.fault is not None:
        lines.append(f"The log is NOT sound. Entry {checked.entry}: {checked.fault} [audit-broken]")
    elif checked.count:
        lines.append(f"The log was checked before. The next export goes on with --after {done.end[0]}:{done.end[1]}")
    return lines


def _moment(text: str) -> datetime:
    """Return a moment; one without a zone is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no moment such as 2026-03-01T08:00") from None


def _noted(text: str | None, option: str) -> tuple[int, str] | None:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and len(digest) == 64):
        raise OslerError(Code.USAGE, f"{option} is a number, a colon and a hash.", "Copy it from an earlier answer.")
    return int(number), digest
