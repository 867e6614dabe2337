"""What a feed is, and what fetches the studies that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from osler.sources.studies import Listed


@dataclass(frozen=True)
class Change:
    """That something may have happened to a study.

    Attributes:
        study: Study Instance UID as the PACS has it.
        mark: What tells one state of the study from another, such as its number of instances: an equal mark is no news.
            Empty where every change is news.
        title: AE title that sent it, where the feed knows.
    """

    study: str
    mark: str = ""
    title: str = ""


@dataclass(frozen=True)
class Batch:
    """Changes in their order.

    Attributes:
        changes: The changes.
        cursor: From where to ask on; kept in the same transaction as the changes.
        more: Whether there is more to ask for at once.
    """

    changes: tuple[Change, ...]
    cursor: str
    more: bool = False


class Feed(Protocol):
    """Follows one PACS."""

    @property
    def name(self) -> str:
        """What tells its cursor from that of another feed."""

    def changes(self, since: str, most: int) -> Batch:
        """Return what happened since a cursor, empty for the first time; `most` is what there is room for.

        A feed may give a change twice, never leave one out.

        Raises:
            OslerError: As the service fails.
        """

    def close(self) -> None:
        """Let go of what is held open."""


class Fetcher(Protocol):
    """Gets a study's files."""

    def instances(self, study: str) -> list[Listed]:
        """List the instances of a study, in the order of their UIDs.

        Raises:
            OslerError: As the service fails.
        """

    def fetch(self, wanted: Sequence[Listed], folder: Path) -> list[Path]:
        """Bring instances of one study into a folder, and return their paths in the same order.

        Raises:
            OslerError: `transfer-failed` where one does not come, and as the service fails.
        """

    def taken(self, study: str, files: Sequence[str]) -> None:
        """Hear that files of these names have their outcome on disk."""

    def drop(self, study: str) -> None:
        """Hear that a study is not wanted."""
