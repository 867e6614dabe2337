"""What sources have in common that list studies and can be asked again: a walk, a spool, a journal, an end of patience."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from osler.dicom.refusals import refusal
from osler.ingest.source import Arrival
from osler.sources.journal import Journal
from osler.sources.second_try import forget_failures
from osler.sources.spool import Spool
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# A server that fails at this many instances in a row fails at all of them.
MOST_FAILURES = 10
# Wider than PS3.5 9.1, which real archives break, and still safe in a URL.
SAFE_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, order=True)
class Listed:
    """An instance as a server lists it; `storage` is its SOP Class where the server tells it."""

    study: str
    series: str
    instance: str
    storage: str = ""

    @property
    def name(self) -> str:
        """Its three UIDs in one."""
        return f"{self.study}/{self.series}/{self.instance}"

    @property
    def safe(self) -> bool:
        """Whether it can be asked for by its UIDs."""
        return all(SAFE_UID.fullmatch(uid) for uid in (self.study, self.series, self.instance))


class StudySource(ABC):
    """Instances study by study, in the order of their UIDs; a source says how to list and to fetch.

    Args:
        kind: Name of the spool.
        address: What tells this source from others, for the journal.
        workspace: Where instances are spooled and the journal is kept.
        key: Key of the pseudonyms, for the journal.
        refetch: Whether to fetch again what an earlier run has settled.
    """

    def __init__(self, kind: str, address: str, workspace: Workspace, key: bytes, *, refetch: bool) -> None:
        self._workspace = workspace
        self._spool = Spool(workspace, kind)
        self._journal = Journal(workspace, address, key, forget=refetch)
        self._studies: dict[str, int | None] = {}
        self._fetched: dict[Path, str] = {}
        self.known = 0

    @property
    def total(self) -> int | None:
        """Number of instances, None where the server does not count them."""
        counts = list(self._studies.values())
        return None if None in counts else sum(count or 0 for count in counts) - self.known

    def __iter__(self) -> Iterator[Arrival]:
        """Yield each instance that is not settled, or its refusal: `transfer-failed`, `uid-invalid`,
        `listing-incomplete`.

        Raises:
            OslerError: `source-refused`, `source-failed` or `source-unreachable` where the server fails as a whole.
        """
        failures = 0
        for study, count in self._studies.items():
            if not SAFE_UID.fullmatch(study):
                yield Arrival(self._spool.path(study), _invalid_uid())
                continue
            listed = self._list(study)
            if count is not None and len(listed) < count:  # it may be arriving
                listed = self._list(study)
            wanted = [item for item in listed if item.name not in self._journal]
            self.known += len(listed) - len(wanted)
            for arrival in self._fetch_study(wanted):
                failures = failures + 1 if arrival.refused else 0
                if arrival.refused and failures == MOST_FAILURES:
                    raise self._given_up(arrival.refused)
                yield arrival
            yield from self._missing(study, short=count is not None and len(listed) < count)

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Note in the journal what was fetched, and drop it from the spool; what failed is left to the next run."""
        paths = [arrival.path for arrival in arrivals]
        fetched = [path for path in paths if path in self._fetched]
        forget_failures(self._workspace, fetched)
        self._journal.add([self._fetched.pop(path) for path in fetched])
        self._spool.drop(paths)

    def _missing(self, study: str, *, short: bool) -> Iterator[Arrival]:
        """Yield the refusal that stands for what a study's listing leaves out, or forget the one of an earlier run."""
        path = self._spool.path(f"{study} listing")
        if short:
            yield Arrival(path, refusal(Code.LISTING_INCOMPLETE))
        else:
            forget_failures(self._workspace, [path])

    def _arrival(self, item: Listed) -> Arrival:
        """Return the arrival of an instance that was asked for, by whether it lies in the spool."""
        path = self._spool.path(item.name)
        if not item.safe:
            return Arrival(path, _invalid_uid())
        if not path.exists():
            return Arrival(path, refusal(Code.TRANSFER_FAILED))
        self._fetched[path] = item.name
        return Arrival(path)

    @abstractmethod
    def _list(self, study: str) -> list[Listed]:
        """List the instances of a study, in the order of their UIDs."""

    @abstractmethod
    def _fetch_study(self, wanted: Sequence[Listed]) -> Iterator[Arrival]:
        """Fetch instances of one study into the spool, and yield their arrivals in order."""

    @abstractmethod
    def _given_up(self, last: OslerError) -> OslerError:
        """Return the error that ends the run after too many failures in a row; `last` is the refusal of the last one."""


def _invalid_uid() -> OslerError:
    return OslerError(
        Code.UID_INVALID,
        "The source lists this image under an identifier that is no UID (PS3.5 9.1), so that it cannot be asked for.",
        "Have the source repair it and send it again.",
    )
