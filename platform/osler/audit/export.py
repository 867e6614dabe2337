"""The audit log for an audit repository: checked first, then given entry by entry, whatever its length."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from osler import audit
from osler.audit import Verification
from osler.audit.entry import Entry, parse
from osler.audit.kinds import kind_of
from osler.audit.message import message_of
from osler.audit.transport import Address, framed, send
from osler.files import open_private
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

EXPORTED = "audit.export"
FORMS = ("dicom", "syslog")
Noted = tuple[int, str]


@dataclass(frozen=True)
class Range:
    """Which entries are wanted; all by default.

    Attributes:
        after: Number and hash of an entry, those after it: an export that goes on where an earlier one ended.
        since: Not those before this moment.
        until: Not those from this moment on.
    """

    after: Noted | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, entry: Entry) -> bool:
        """Return whether an entry is wanted; one whose time cannot be read is."""
        if self.after is not None and entry.number <= self.after[0]:
            return False
        try:
            time = datetime.fromisoformat(entry.time)
            return (self.since is None or time >= self.since) and (self.until is None or time < self.until)
        except (ValueError, TypeError):
            return True


@dataclass(frozen=True)
class Origin:
    """Who the messages say that they come from: the installation, the hospital (may be empty), and the machine."""

    source: str
    site: str
    host: str


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        messages: How many.
        first: Number of the first entry, 0 where there is none.
        last: Number of the last.
        sha256: Hash of all bytes written, or sent.
        end: Number and hash of the log's last entry that was seen: the next export goes on after it.
        checked: What the check of the log found before anything was written.
        confirmed: Whether the repository confirmed the end; None where nothing was sent.
    """

    messages: int
    first: int
    last: int
    sha256: str
    end: Noted
    checked: Verification
    confirmed: bool | None = None


class _Tally:
    """Counts and hashes what goes by."""

    def __init__(self) -> None:
        self.messages = self.first = self.last = 0
        self.hash = hashlib.sha256()

    def take(self, entry: Entry, content: bytes) -> bytes:
        self.messages, self.first, self.last = self.messages + 1, self.first or entry.number, entry.number
        self.hash.update(content)
        return content


def export_log(
    workspace: Workspace,
    form: str,
    wanted: Range,
    origin: Origin,
    *,
    actor: str,
    out: Path | None = None,
    to: Address | None = None,
    unsound: bool = False,
) -> Exported:
    """Write the audit log as DICOM audit messages into a file, or send it to an audit repository.

    The log is checked before the first message leaves, and each entry again as it is read. That it is exported is itself
    an entry, written before: the next export holds it.

    Args:
        workspace: Holds the log.
        form: `dicom`, a message a line; `syslog`, as they are sent.
        wanted: Which entries.
        origin: Who the messages come from.
        actor: Who exports.
        out: The file, which must not be there yet.
        to: The repository, in the place of a file.
        unsound: Whether to export what can be read of a log that the check refuses.

    Raises:
        OslerError: `audit-broken`; `usage` where the file is there; `server-unreachable`; as `osler.audit.record`.
    """
    if out is not None and out.exists():
        raise OslerError(Code.USAGE, f"{out} is there already.", "Name a new file: an export is never written over.")
    checked = audit.verify(workspace, wanted.after)
    if checked.fault is not None and not unsound:
        raise OslerError(
            Code.AUDIT_BROKEN,
            f"The audit log is not sound. Entry {checked.entry}: {checked.fault}",
            "Keep a copy of it as evidence; --unsound exports what can be read, and says so.",
        )
    if checked.fault is None:  # to a broken log nothing is added
        place = {"to": f"{to.host}:{to.port}" if to else out.name if out else ""}
        audit.record(workspace, actor=actor, action=EXPORTED, subject="audit log", details=place)
    tally = _Tally()
    content = _content(workspace, form, wanted, origin, checked, tally)
    confirmed = None
    if to is not None:
        confirmed = send(content, to).confirmed
    elif out is not None:
        _write(out, content)
    return Exported(
        tally.messages,
        tally.first,
        tally.last,
        tally.hash.hexdigest(),
        (checked.count, checked.head),
        checked,
        confirmed,
    )


def _content(
    workspace: Workspace, form: str, wanted: Range, origin: Origin, checked: Verification, tally: _Tally
) -> Iterator[bytes]:
    """Give the bytes of each wanted message."""
    make = _maker(form, origin)
    for entry in _entries(workspace, checked):
        if wanted.has(entry):
            yield tally.take(entry, make(entry))


def _entries(workspace: Workspace, checked: Verification) -> Iterator[Entry]:
    """Give the entries that were checked, and check that they still are the same; of a broken log, all that can be read."""
    with audit.snapshot(workspace) as held:
        if checked.fault is not None:
            yield from filter(None, map(parse, held.lines))
            return
        previous = audit.START
        for line in islice(held.lines, checked.count):
            entry = parse(line)
            if entry is None or entry.previous != previous or entry.sha256 != entry.digest():
                raise OslerError(
                    Code.AUDIT_BROKEN, "The audit log was changed while it was exported.", "Run `osler audit verify`."
                )
            previous = entry.sha256
            yield entry


def _maker(form: str, origin: Origin) -> Callable[[Entry], bytes]:
    def message(entry: Entry) -> bytes:
        return message_of(entry, origin.source, origin.site)

    def line(entry: Entry) -> bytes:
        return message(entry) + b"\n"

    def frame(entry: Entry) -> bytes:
        return framed(message(entry), entry.time, origin.host, failed=kind_of(entry.action).outcome != "0")

    return {"dicom": line, "syslog": frame}[form]


def _write(out: Path, content: Iterator[bytes]) -> None:
    """Write a file that is there whole or not at all, its owner's alone."""
    part = out.with_name(f".{out.name}.part")
    try:
        with open(part, "wb", opener=open_private) as stream:
            stream.writelines(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(out)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise from_os_error(error) from None
        raise
