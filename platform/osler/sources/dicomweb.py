"""A DICOMweb server as a source: QIDO-RS to list, page by page, WADO-RS to fetch, a journal to go on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from osler.ingest.source import Arrival
from osler.sources.login import find_login
from osler.sources.studies import Listed, StudySource
from osler.sources.web_client import Patience, Row, WebClient
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STUDY, SERIES, INSTANCE, COUNT = "0020000D", "0020000E", "00080018", "00201208"
PAGE = 200


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


class DicomwebSource(StudySource):
    """The instances of a DICOMweb server, in the order of their UIDs.

    Args:
        address: URL of the DICOMweb root, without a login.
        workspace: Where instances are spooled and the journal is kept.
        key: Key of the pseudonyms, for the journal.
        options: How to talk to the server.
    """

    def __init__(self, address: str, workspace: Workspace, key: bytes, options: WebOptions) -> None:
        self._address = address.rstrip("/")
        super().__init__("dicomweb", self._address, workspace, key, refetch=options.refetch)
        self._options = options

    def __enter__(self) -> Self:
        """List the studies.

        Raises:
            OslerError: `empty-source` where no study matches; `login-invalid`, `workspace-occupied`, and what
                `WebClient` raises.
        """
        options = self._options
        login = find_login(self._address, options.login_file)
        self._client = WebClient(self._address, login, options.ca, options.patience)
        rows = paged(lambda offset: self._client.studies(options.query, options.page, offset), STUDY)
        self._studies = {
            value_of(row, STUDY): count_of(row) for row in sorted(rows, key=lambda row: value_of(row, STUDY))
        }
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
        self._client.close()

    def _list(self, study: str) -> list[Listed]:
        rows = paged(lambda offset: self._client.instances(study, self._options.page, offset), INSTANCE)
        return sorted(Listed(study, value_of(row, SERIES), value_of(row, INSTANCE)) for row in rows)

    def _fetch_study(self, wanted: Sequence[Listed]) -> Iterator[Arrival]:
        for item in wanted:
            if item.safe:
                self._fetch(item)
            yield self._arrival(item)

    def _fetch(self, item: Listed) -> None:
        """Fetch an instance as it is stored; where the server fails at this one, nothing is left of it."""
        path = self._spool.path(item.name)
        try:
            self._client.fetch(item.study, item.series, item.instance, lambda chunks: self._spool.write(path, chunks))
        except OslerError as error:
            if error.code not in (Code.NOT_DICOMWEB, Code.SOURCE_REFUSED, Code.SOURCE_FAILED, Code.TRANSFER_FAILED):
                raise

    def _given_up(self, last: OslerError) -> OslerError:
        return last


def paged(page: Callable[[int], list[Row]], tag: str) -> list[Row]:
    """Ask for page after page until one brings nothing new, which ends it on servers that ignore the offset too."""
    found: dict[str, Row] = {}
    offset = 0
    while True:
        rows = page(offset)
        fresh = {value_of(row, tag): row for row in rows if value_of(row, tag) not in found}
        if not fresh:
            return list(found.values())
        found |= fresh
        offset += len(rows)


def value_of(row: Row, tag: str) -> str:
    """Return the first value of an attribute, empty where there is none."""
    values = _values(row, tag)
    return str(values[0]) if values else ""


def count_of(row: Row) -> int | None:
    """Return how many instances a study has, None where the server does not say."""
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
