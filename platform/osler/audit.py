"""The audit log: who did what to which data, one hash-chained line each, appended and never changed.

A line holds the hash of the line before it, so that an edited, removed or moved entry is found by its number. A head file
beside the log (number and hash of the last entry) shows entries cut off at the end. Nothing here is keyed: whoever may
write both files can forge both, so an installation that fears this notes the head elsewhere and compares (`verify`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

LOG, HEAD = "audit.jsonl", "audit.head"
START = "0" * 64  # what the first entry names as the one before it
MAX_ACTOR, MAX_SUBJECT, MAX_DETAILS = 80, 200, 4000
LONGEST = 1 << 17  # bytes of the longest line: JSON writes one character in up to 12
ACTION = re.compile(r"[a-z][a-z0-9.-]{0,63}")
HEAD_LINE = re.compile(rb"(\d{1,18}) ([0-9a-f]{64})\n")
RECOVERED = "audit.recovered"


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        number: 1 for the first.
        time: When, ISO 8601 in UTC.
        actor: Who.
        action: What, such as `quarantine.release`.
        subject: To what: a pseudonym or a hash, never a value of a patient.
        details: Further words, such as a reason.
        previous: Hash of the entry before.
        sha256: Hash of all of the above.
    """

    number: int
    time: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]
    previous: str
    sha256: str

    def digest(self) -> str:
        """Return the SHA-256 of the canonical encoding of everything but the hash itself."""
        return hashlib.sha256(_canonical({k: v for k, v in asdict(self).items() if k != "sha256"})).hexdigest()

    def line(self) -> bytes:
        """Return the entry as its line."""
        return _canonical(asdict(self)) + b"\n"


@dataclass(frozen=True)
class Words:
    """What an entry says, before it has its place in the chain."""

    actor: str
    action: str
    subject: str
    details: Mapping[str, str]


@dataclass(frozen=True)
class Verification:
    """What checking the log found.

    Attributes:
        count: Number of entries up to the first fault.
        head: Hash of the last of them.
        torn: Bytes of a last line that a crash cut off; the next entry sets them aside and says so.
        fault: What is wrong, None where the log is sound.
        entry: Number of the first entry that is wrong, None where the log is sound.
    """

    count: int
    head: str
    torn: int = 0
    fault: str | None = None
    entry: int | None = None


def record(
    workspace: Workspace, *, actor: str, action: str, subject: str, details: Mapping[str, str] | None = None
) -> Entry:
    """Append an entry; it is on disk when this returns. Processes that append at once wait for each other.

    Raises:
        OslerError: `usage` where a name is empty, too long or holds control characters; `audit-broken` where the log's
            end was tampered with: what must be audited is not done then; `disk-full`.
    """
    words = _checked(actor, action, subject, details or {})
    try:
        with _locked(workspace) as stream:
            last = _last(stream, workspace)
            stream.seek(last.end)
            torn = stream.read()
            if torn:
                stream.truncate(last.end)
                lost = {"torn_bytes": str(len(torn)), "torn_sha256": hashlib.sha256(torn).hexdigest()}
                last = _append(stream, workspace, _entry(last, Words("osler", RECOVERED, "audit", lost)), last.end)
            entry = _entry(last, words)
            _append(stream, workspace, entry, last.end)
            return entry
    except OSError as error:
        raise from_os_error(error) from None


def entries(workspace: Workspace) -> list[Entry]:
    """Return the entries in their order; lines that cannot be read are passed over, `verify` tells of them."""
    with _reading(workspace) as stream:
        return [entry for line in stream if line.endswith(b"\n") and (entry := _parse(line)) is not None]


def verify(workspace: Workspace, noted: tuple[int, str] | None = None) -> Verification:
    """Check every entry, the chain between them and the head.

    Args:
        workspace: Holds the log.
        noted: Number and hash of an entry, noted elsewhere after an earlier check, that must still be there.

    Raises:
        OslerError: `audit-broken` where the head cannot be read.
    """
    count, previous = 0, START
    with _reading(workspace) as stream:
        head = _head(workspace)
        known = [head, noted] if noted else [head]
        for line in stream:
            if not line.endswith(b"\n"):
                return _complete(Verification(count, previous, torn=len(line)), known)
            fault = _fault(line, count + 1, previous, known)
            if fault is not None:
                return Verification(count, previous, fault=fault, entry=count + 1)
            entry = _parse(line)
            assert entry is not None
            count, previous = entry.number, entry.sha256
    return _complete(Verification(count, previous), known)


def _fault(line: bytes, number: int, previous: str, known: Sequence[tuple[int, str]]) -> str | None:
    entry = _parse(line)
    if entry is None or entry.line() != line:
        return "The line is not an entry as Osler writes it."
    if entry.sha256 != entry.digest():
        return "Its content does not have its hash: it was edited."
    if entry.number != number:
        return f"It has the number {entry.number}: entries were removed, added or moved."
    if entry.previous != previous:
        return "It does not follow from the entry before it: one of the two was changed."
    if any(noted == number and digest != entry.sha256 for noted, digest in known):
        return "It is another entry than the one whose hash was noted."
    return None


def _complete(found: Verification, known: Sequence[tuple[int, str]]) -> Verification:
    """Return the finding, or that entries are missing at the end, or were added there without the head."""
    most, head = max(number for number, _ in known), known[0][0]
    if most > found.count:
        fault = f"The log ends before it: {most} entries were noted."
        return replace(found, fault=fault, entry=found.count + 1)
    if found.count > head + 1:
        return replace(found, fault=f"The head names entry {head} as the last.", entry=head + 1)
    return found


@dataclass(frozen=True)
class _Last:
    """The last whole entry, and where its line ends in the file."""

    number: int
    sha256: str
    end: int


def _last(stream: BinaryIO, workspace: Workspace) -> _Last:
    """Return the last whole entry of a log that agrees with its head.

    Only a crash between line and head leaves the log ahead, by one entry; the head is brought up then.
    """
    begin = max(stream.seek(0, os.SEEK_END) - 2 * LONGEST, 0)
    stream.seek(begin)
    block = stream.read()
    end = block.rfind(b"\n") + 1
    entry = _parse(block[block.rfind(b"\n", 0, max(end - 1, 0)) + 1 : end])
    number, head = _head(workspace)
    if entry is None and (begin or end or number):
        raise _broken("Its last entry is missing or cannot be read.")
    if entry is not None and entry.digest() != entry.sha256:
        raise _broken(f"Entry {entry.number} was edited.")
    last = _Last(entry.number, entry.sha256, begin + end) if entry else _Last(0, START, 0)
    if last.number == number + 1 and entry is not None and entry.previous == head:
        _write_head(workspace, entry)
    elif (last.number, last.sha256) != (number, head):
        raise _broken(f"It ends with entry {last.number}, and its head names entry {number}.")
    return last


def _entry(last: _Last, words: Words) -> Entry:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(last.number + 1, now, words.actor, words.action, words.subject, words.details, last.sha256, "")
    return replace(entry, sha256=entry.digest())


def _append(stream: BinaryIO, workspace: Workspace, entry: Entry, end: int) -> _Last:
    line = entry.line()
    stream.seek(end)
    stream.write(line)
    stream.flush()
    os.fsync(stream.fileno())
    _write_head(workspace, entry)
    return _Last(entry.number, entry.sha256, end + len(line))


def _write_head(workspace: Workspace, entry: Entry) -> None:
    write_atomically(workspace.feedback / HEAD, f"{entry.number} {entry.sha256}\n".encode())


def _head(workspace: Workspace) -> tuple[int, str]:
    path = workspace.feedback / HEAD
    if not path.exists():
        return 0, START
    if (match := HEAD_LINE.fullmatch(path.read_bytes())) is None:
        raise _broken("Its head file cannot be read.")
    return int(match[1]), match[2].decode()


@contextmanager
def _locked(workspace: Workspace) -> Iterator[BinaryIO]:
    """Open the log under a lock: without it, a line being written looks like one that a crash cut off."""
    handle = os.open(workspace.feedback / LOG, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream


@contextmanager
def _reading(workspace: Workspace) -> Iterator[BinaryIO]:
    path = workspace.feedback / LOG
    with (path if path.exists() else Path(os.devnull)).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield stream


def _parse(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _checked(actor: str, action: str, subject: str, details: Mapping[str, str]) -> Words:
    if not ACTION.fullmatch(action):
        raise OslerError(Code.USAGE, f"{action!r} names no action.", "Use small letters, digits, dots and dashes.")
    if sum(len(name) + len(value) for name, value in details.items()) > MAX_DETAILS:
        raise OslerError(Code.USAGE, "The details of the entry are too long.", f"Give up to {MAX_DETAILS} characters.")
    told = {
        check_words(name, "name of a detail", MAX_ACTOR): check_words(value, name, MAX_DETAILS)
        for name, value in details.items()
        if value
    }
    return Words(check_words(actor, "actor", MAX_ACTOR), action, check_words(subject, "subject", MAX_SUBJECT), told)


def check_words(text: str, what: str, longest: int) -> str:
    """Return what a person gave, without blanks around it.

    Raises:
        OslerError: `usage` where it is empty, too long, or holds a line break or another character that is not printed.
    """
    text = text.strip()
    if not 0 < len(text) <= longest or not text.isprintable():
        raise OslerError(
            Code.USAGE, f"The {what} is not a line of 1 to {longest} printable characters.", f"Give another {what}."
        )
    return text


def _broken(what: str) -> OslerError:
    return OslerError(
        Code.AUDIT_BROKEN,
        f"The audit log was changed by something other than Osler. {what}",
        f"Run `osler audit verify`; keep {LOG} and {HEAD} as evidence outside the workspace, then a new log begins.",
    )
