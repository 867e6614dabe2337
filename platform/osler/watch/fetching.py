"""Fetching a study into a folder: by WADO-RS, by C-MOVE or C-GET."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from osler.dicom.refusals import refusal
from osler.files import move_synced
from osler.ingest.source import Arrival
from osler.sources.dicomweb import INSTANCE, PAGE, SERIES, paged, value_of
from osler.sources.inbox import streaming_into
from osler.sources.login import find_login
from osler.sources.pacs import PacsSource
from osler.sources.spool import private
from osler.sources.studies import Listed
from osler.sources.web_client import Patience, WebClient
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error


class WebFetcher:
    """From a DICOMweb server.

    Args:
        address: DICOMweb root.
        login_file: File in the format of `netrc`.
        ca: Certificates to trust.
        patience: Timeouts and attempts.
    """

    def __init__(self, address: str, login_file: Path | None, ca: Path | None, patience: Patience) -> None:
        self._client = WebClient(address.rstrip("/"), find_login(address, login_file), ca, patience)

    def instances(self, study: str) -> list[Listed]:
        """List by QIDO-RS; see `Fetcher`."""
        try:
            rows = paged(lambda offset: self._client.instances(study, PAGE, offset), INSTANCE)
        except OslerError as error:
            if self._is_gone(error):
                return []
            raise
        return sorted(Listed(study, value_of(row, SERIES), value_of(row, INSTANCE)) for row in rows)

    def fetch(self, wanted: Sequence[Listed], folder: Path) -> list[Path]:
        """Fetch by WADO-RS, one instance after the other; see `Fetcher`."""
        return [self._one(item, folder / f"{number:05d}.dcm") for number, item in enumerate(wanted)]

    def taken(self, study: str, files: Sequence[str]) -> None:
        """The server keeps what it has."""

    def drop(self, study: str) -> None:
        """The server keeps what it has."""

    def _one(self, item: Listed, path: Path) -> Path:
        if not item.safe:
            raise OslerError(
                Code.UID_INVALID,
                "The PACS lists an image under an identifier that is no UID.",
                "Have it repaired there.",
            )

        def write(chunks: Iterator[bytes]) -> None:
            with open(path, "wb", opener=private) as stream:
                for chunk in chunks:
                    _put(stream, chunk)

        try:
            self._client.fetch(item.study, item.series, item.instance, write)
        except OslerError as error:
            if self._is_gone(error):
                raise refusal(Code.TRANSFER_FAILED) from None
            raise
        return path

    def _is_gone(self, error: OslerError) -> bool:
        """Whether "not found" is about a study that was deleted, and not about a server that is none."""
        return error.code is Code.NOT_DICOMWEB and self._client.is_dicomweb()


def _put(stream: IO[bytes], chunk: bytes) -> None:
    # Apart from what the network raises: its OSError is not the disk's.
    try:
        stream.write(chunk)
    except OSError as error:
        raise from_os_error(error) from None


class PacsFetcher(PacsSource):
    """From a classic PACS; what C-MOVE needs to receive is open while a study is fetched."""

    def instances(self, study: str) -> list[Listed]:
        """List by C-FIND; see `Fetcher`."""
        return self._list(study)

    def fetch(self, wanted: Sequence[Listed], folder: Path) -> list[Path]:
        """Fetch by C-MOVE or C-GET; see `Fetcher`."""
        with ExitStack() as stack:
            stack.enter_context(self._spool)
            stack.enter_context(streaming_into(self._spool.folder / "receiving"))
            if not self._options.get:
                stack.enter_context(self._receiver())
            arrivals = enumerate(self._fetch_study(wanted))
            found = [_kept(arrival, folder / f"{number:05d}.dcm") for number, arrival in arrivals]
        self._fetched.clear()
        return found

    def taken(self, study: str, files: Sequence[str]) -> None:
        """The PACS keeps what it has."""

    def drop(self, study: str) -> None:
        """The PACS keeps what it has."""


def _kept(arrival: Arrival, path: Path) -> Path:
    if arrival.refused is not None:
        raise arrival.refused
    move_synced(arrival.path, path)
    return path
