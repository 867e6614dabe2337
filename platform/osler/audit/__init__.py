"""The audit log: who did what to which data, one hash-chained entry each, appended and never changed.

An entry holds the hash of the one before it, so that an edited, removed or moved entry is found by its number. A head beside
the log (number and hash of the last entry) shows entries cut off at the end. Nothing here is keyed: whoever may write
both can forge both, so an installation that fears this notes the head elsewhere and compares (`verify`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from osler.audit.entry import MAX_ACTOR, START, Entry, check_words, checked, parse
from osler.audit.group import group_of
from osler.audit.log_files import HEAD, LOG, RECOVERED, AuditFiles
from osler.audit.store import BATCH, AuditStore, Recorded
from osler.database_address import address_of
from osler.workspace import Workspace

__all__ = [
    "HEAD",
    "LOG",
    "MAX_ACTOR",
    "RECOVERED",
    "START",
    "Entry",
    "Verification",
    "check_words",
    "entries",
    "record",
    "snapshot",
    "stamp",
    "verify",
    "verify_recorded",
]


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
    """Append an entry; it is on disk when this returns.

    Threads that append at once share one wait for the disk (`osler.audit.group`); processes wait for each other.

    Raises:
        OslerError: `usage` where a name is empty, too long or holds control characters; `audit-broken` where the log's
            end was tampered with: what must be audited is not done then; `disk-full`; `database-...`.
    """
    words = checked(actor, action, subject, details or {})
    address = address_of(workspace)
    return group_of(str(workspace.root), str(address)).record(_store(workspace, in_files=address is None), words)


def entries(workspace: Workspace) -> list[Entry]:
    """Return the entries in their order; lines that cannot be read are passed over, `verify` tells of them."""
    with snapshot(workspace) as held:
        return [entry for line in held.lines if line.endswith(b"\n") and (entry := parse(line)) is not None]


def snapshot(workspace: Workspace) -> AbstractContextManager[Recorded]:
    """Give the lines of the log as it is now, to be read one by one."""
    return _store(workspace, in_files=address_of(workspace) is None).snapshot()


def stamp(workspace: Workspace) -> tuple[object, ...]:
    """Return something that changes with each entry, for those who keep what they read."""
    return _store(workspace, in_files=address_of(workspace) is None).stamp()


def verify(workspace: Workspace, noted: tuple[int, str] | None = None) -> Verification:
    """Check every entry, the chain between them and the head.

    Args:
        workspace: Holds the log.
        noted: Number and hash of an entry, noted elsewhere after an earlier check, that must still be there.

    Raises:
        OslerError: `audit-broken` where the head cannot be read.
    """
    with snapshot(workspace) as held:
        return verify_recorded(held, noted)


def verify_recorded(held: Recorded, noted: tuple[int, str] | None = None) -> Verification:
    """Check a log wherever it lies; see `verify`."""
    count, previous = 0, START
    head = held.head()
    known = [head, noted] if noted else [head]
    for line in held.lines:
        if not line.endswith(b"\n"):
            return _complete(Verification(count, previous, torn=len(line)), known)
        fault = _fault(line, count + 1, previous, known)
        if fault is not None:
            return Verification(count, previous, fault=fault, entry=count + 1)
        entry = parse(line)
        assert entry is not None
        count, previous = entry.number, entry.sha256
    return _complete(Verification(count, previous), known)


def _store(workspace: Workspace, *, in_files: bool) -> AuditStore:
    """Return where a workspace keeps its log."""
    if in_files:
        return AuditFiles(workspace)
    from osler.audit.log_table import AuditTable
    from osler.database import open_database

    return AuditTable(open_database(workspace))


def _fault(line: bytes, number: int, previous: str, known: Sequence[tuple[int, str]]) -> str | None:
    entry = parse(line)
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
    if found.count > head + BATCH:  # a crash between lines and head leaves no more
        return replace(found, fault=f"The head names entry {head} as the last.", entry=head + 1)
    return found
