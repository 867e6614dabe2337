"""What a place for the audit log can do, and the checks that hold wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from osler.audit.entry import START, Entry
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LONGEST = 1 << 17  # bytes of the longest line: JSON writes one character in up to 12
BATCH, BATCH_BYTES = 64, LONGEST  # entries that are written together, and their bytes


class End(Protocol):
    """The end of a log that is held: nobody else appends meanwhile."""

    number: int
    sha256: str

    def append(self, *entries: Entry) -> None:
        """Add the entries that follow; they last when the log is let go."""


@dataclass(frozen=True)
class Recorded:
    """What a log holds.

    Attributes:
        lines: Its lines, each with its end; a last one without was cut off by a crash.
        head: Reads number and hash of the last entry, as they are noted beside the log.
    """

    lines: Iterable[bytes]
    head: Callable[[], tuple[int, str]]


class AuditStore(Protocol):
    """Where a workspace keeps its audit log."""

    def appending(self) -> AbstractContextManager[End]:
        """Hold the log; raises `audit-broken` where its end was tampered with."""

    def snapshot(self) -> AbstractContextManager[Recorded]:
        """Give the log as it is now; whoever appends meanwhile is not held up, and not seen."""

    def stamp(self) -> tuple[object, ...]:
        """Return something that changes with each entry."""


def check_end(
    tail: Sequence[Entry | None], *, empty: bool, head: tuple[int, str], ahead: int, keep: str
) -> Entry | None:
    """Return the last entry of a log that agrees with its head.

    Args:
        tail: The last entries, the last one at least; None for one that cannot be read.
        empty: Whether the log holds nothing.
        head: Number and hash that the head notes.
        ahead: How many entries a crash can leave the log ahead of the head.
        keep: What to do with a broken log.

    Raises:
        OslerError: `audit-broken`.
    """
    number = head[0]
    entry = tail[-1] if tail else None
    if entry is None and (not empty or number):
        raise broken("Its last entry is missing or cannot be read.", keep)
    if entry is not None and entry.digest() != entry.sha256:
        raise broken(f"Entry {entry.number} was edited.", keep)
    last = (entry.number, entry.sha256) if entry else (0, START)
    if last != head and not (0 < last[0] - number <= ahead and _follows(tail[number - last[0] :], head)):
        raise broken(f"It ends with entry {last[0]}, and its head names entry {number}.", keep)
    return entry


def _follows(entries: Sequence[Entry | None], head: tuple[int, str]) -> bool:
    """Return whether entries are those that come after the one of a head."""
    first, sha256 = head
    for number, entry in enumerate(entries, first + 1):
        if entry is None or (entry.number, entry.previous) != (number, sha256) or entry.digest() != entry.sha256:
            return False
        sha256 = entry.sha256
    return True


def broken(what: str, keep: str) -> OslerError:
    """Return the error of a log that was tampered with."""
    return OslerError(
        Code.AUDIT_BROKEN,
        f"The audit log was changed by something other than Osler. {what}",
        f"Run `osler audit verify`; {keep}.",
    )
