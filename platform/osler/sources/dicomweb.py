"""A DICOMweb server as a source: QIDO-RS to list, page by page, WADO-RS to fetch, a journal to go on after a kill."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from osler.dicom.refusals import refusal
from osler.ingest.source import Arrival
from osler.sources.journal import Journal
from osler.sources.login import find_login
from osler.sources.second_try import forget_failures
from osler.sources.spool import Spool
from osler.sources.web_client import Patience, Row, WebClient
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STUDY, SERIES, INSTANCE, COUNT = "0020000D", "0020000E", "00080018", "00201208"
PAGE = 200
# A server that fails at this many instances in a row fails at all of them.
MOST_FAILURES = 10
# Wider than PS3.5 9.1, which real archives break, and still safe in a URL.
SAFE_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class WebOptions:
    """How to talk to a DICOMweb server.

    Attributes:
        query: Matching keys of the study level by keyword (PS3.18 10.6.1).
        login_file: File in the format of `netrc`; the environment where it is left out.
        ca: Certificates to trust.
        page: Results asked for at a time.
        refetch: Whether to fetch again what an earlier run has settled.
        patience: Timeouts and attempts.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    login_file: Path | None = None
    ca: Path | None = None
    page: int = PAGE
    refetch: bool = False
    patience: Patience = field(default_factory=Patience)


class DicomwebSource:
    """The instances of a DICOMweb server, in the order of their UIDs.

    Args:
        address: URL of the DICOMweb root, without a login.
        workspace: Where instances are spooled and the journal is kept.
        key: Key of the pseudonyms, for the journal.
        options: How to talk to the server.
    """

    def __init__(self, address: str, workspace: Workspace, key: bytes, options: WebOptions) -> None:
        self._address = address.rstrip("/")
        self._options = options
        self._workspace = workspace
        self._spool = Spool(workspace, "dicomweb")
        self._journal = Journal(workspace, self._address, key, forget=options.refetch)
        self._studies: dict[str, int | None] = {}
        self._fetched: dict[Path, str] = {}
        self.known = 0

    @property
    def total(self) -> int | None:
        """Number of instances, None where the server does not count them."""
        counts = list(self._studies.values())
        return None if None in counts else sum(count or 0 for count in counts) - self.known

    def __enter__(self) -> Self:
        """List the studies.

        Raises:
            OslerError: `empty-source` where no study matches; `login-invalid`, `workspace-occupied`, and what
                `WebClient` raises.
        """
        options = self._options
        login = find_login(self._address, options.login_file)
        self._client = WebClient(self._address, login, options.ca, options.patience)
        rows = _paged(lambda offset: self._client.studies(options.query, options.page, offset), STUDY)
        self._studies = {_value(row, STUDY): _count(row) for row in sorted(rows, key=lambda row: _value(row, STUDY))}
        if not self._studies:
            raise OslerError(
                Code.EMPTY_SOURCE,
                "The server has no study that matches.",
                "Check the filters of --query, and the rights of the login.",
            )
        self._spool.__enter__()
        try:
            self._journal.__enter__()
        except BaseException:
            self._spool.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.__exit__()
        self._spool.__exit__()
        self._client._session.close()

    def __iter__(self) -> Iterator[Arrival]:
        """Yield each instance that is not settled, fetched as it is stored, or the refusal: `transfer-failed`,
        `uid-invalid`, `listing-incomplete`.

        Raises:
            OslerError: what `WebClient` raises where the server fails as a whole.
        """
        failures = 0
        for study, count in self._studies.items():
            if not SAFE_UID.fullmatch(study):
                yield Arrival(self._spool.path(study), invalid_uid())
                continue
            rows = self._list(study, count)
            for series, instance in rows:
                name = f"{study}/{series}/{instance}"
                if name in self._journal:
                    self.known += 1
                    continue
                arrival = self._fetch(name, study, series, instance)
                failures = failures + 1 if arrival.refused else 0
                if arrival.refused and failures == MOST_FAILURES:
                    raise arrival.refused
                yield arrival
            if count is not None and len(rows) < count:
                yield Arrival(self._spool.path(f"{study} listing"), refusal(Code.LISTING_INCOMPLETE))
            else:
                forget_failures(self._workspace, [self._spool.path(f"{study} listing")])

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Note in the journal what was fetched, and drop it from the spool; what failed is left to the next run."""
        paths = [arrival.path for arrival in arrivals]
        fetched = [path for path in paths if path in self._fetched]
        forget_failures(self._workspace, fetched)
        self._journal.add([self._fetched.pop(path) for path in fetched])
        self._spool.drop(paths)

    def _list(self, study: str, count: int | None) -> list[tuple[str, str]]:
        """List a study's series and instances, once more where the count does not fit: it may be arriving."""
        for _twice in range(2):
            rows = _paged(lambda offset: self._client.instances(study, self._options.page, offset), INSTANCE)
            if count is None or len(rows) >= count:
                break
        return sorted((_value(row, SERIES), _value(row, INSTANCE)) for row in rows)

    def _fetch(self, name: str, study: str, series: str, instance: str) -> Arrival:
        path = self._spool.path(name)
        if not (SAFE_UID.fullmatch(series) and SAFE_UID.fullmatch(instance)):
            return Arrival(path, invalid_uid())
        try:
            self._client.fetch(study, series, instance, lambda chunks: self._spool.write(path, chunks))
        except OslerError as error:
            if error.code in (Code.NOT_DICOMWEB, Code.SOURCE_REFUSED, Code.SOURCE_FAILED, Code.TRANSFER_FAILED):
                return Arrival(path, refusal(Code.TRANSFER_FAILED))
            raise
        self._fetched[path] = name
        return Arrival(path)


def invalid_uid() -> OslerError:
    """Return the refusal of an instance that the source lists under something that is no UID."""
    return OslerError(
        Code.UID_INVALID,
        "The source lists this image under an identifier that is no UID (PS3.5 9.1), so that it cannot be asked for.",
        "Have the source repair it and send it again.",
    )


def _paged(page: Callable[[int], list[Row]], tag: str) -> list[Row]:
    """Ask for page after page until one brings nothing new, which ends it on servers that ignore the offset too."""
    found: dict[str, Row] = {}
    offset = 0
    while True:
        rows = page(offset)
        fresh = {_value(row, tag): row for row in rows if _value(row, tag) not in found}
        if not fresh:
            return list(found.values())
        found |= fresh
        offset += len(rows)


def _value(row: Row, tag: str) -> str:
    values = _values(row, tag)
    return str(values[0]) if values else ""


def _count(row: Row) -> int | None:
    values = _values(row, COUNT)
    try:
        return int(values[0]) if values else None
    except (TypeError, ValueError):
        return None


def _values(row: Row, tag: str) -> list[Any]:
    """Return the values of an attribute in the DICOM JSON model (PS3.18 F.2)."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []
