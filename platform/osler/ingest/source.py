"""What ingestion reads from: a folder, an archive file, a PACS; each hands over files in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class Arrival:
    """One received file.

    Attributes:
        path: Where it can be read until it is settled.
        refused: Why the source itself refuses it (a bomb in a zip, a transfer that failed); it is then quarantined
            unread.
        last_for_now: Whether the next may be long in coming: what has arrived is then settled without waiting for it.
    """

    path: Path
    refused: OslerError | None = None
    last_for_now: bool = False


class Source(Protocol):
    """A stream of arrivals, held open for one run; what it spooled to disk is gone when it is closed."""

    @property
    def total(self) -> int | None:
        """Number of arrivals, None where nobody knows yet."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Arrival]:
        """Yield arrivals lazily, in an order that a second run would give again."""
        ...

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Hear that arrivals have their outcome on disk: what was spooled for them may go."""
        ...
