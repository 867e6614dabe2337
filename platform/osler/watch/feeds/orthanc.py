"""Orthanc's change feed: every instance that is stored is a numbered change, and the number outlives a restart.

`StableStudy` is not relied on: Orthanc counts stability in memory, and a study that was arriving when it was killed never
becomes stable. Settling is judged here, by the clock of this machine, from the last instance on.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from osler.sources.login import find_login
from osler.sources.web_client import Patience, WebClient
from osler.watch.feeds.base import Batch, Change
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

PAGE = 200  # changes asked for at a time
NEW = "NewInstance"


class OrthancFeed:
    """The changes of one Orthanc.

    Args:
        address: Root of its REST interface.
        login_file: File in the format of `netrc`; the environment where it is left out.
        ca: Certificates to trust.
        patience: Timeouts and attempts.
        from_now: Whether a first start passes over what Orthanc holds already.
    """

    def __init__(
        self, address: str, login_file: Path | None, ca: Path | None, patience: Patience, *, from_now: bool
    ) -> None:
        self.name = f"orthanc {address.rstrip('/')}"
        self._client = _Rest(address.rstrip("/"), find_login(address, login_file), ca, patience)
        self._from_now = from_now
        self._studies: dict[str, tuple[str, str]] = {}

    def changes(self, since: str, most: int) -> Batch:
        """Return the studies of a page of changes, each once; see `Feed.changes`."""
        if not since and self._from_now:
            return Batch((), str(self._last()))
        start = int(since or 0)
        page = self._page(start, min(most, PAGE))
        if int(page["Last"]) < start:  # its index was lost or restored: what is known already changes nothing
            start, page = 0, self._page(0, min(most, PAGE))
        found: dict[str, Change] = {}
        for row in page["Changes"]:
            if row.get("ChangeType") == NEW and (change := self._change(str(row["ID"]))) is not None:
                found[change.study] = change
        self._studies.clear()
        return Batch(tuple(found.values()), str(page["Last"]), more=not page["Done"])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _last(self) -> int:
        return int(self._page(None, 1)["Last"])

    def _page(self, since: int | None, limit: int) -> Mapping[str, Any]:
        page = self._client.read("/changes?last" if since is None else f"/changes?since={since}&limit={limit}")
        if not isinstance(page, Mapping) or not {"Changes", "Last", "Done"} <= page.keys():
            raise OslerError(
                Code.SOURCE_REFUSED,
                "The server answers at this address, but not as Orthanc does.",
                "Give the root of Orthanc's own interface, such as http://HOST:8042, not that of DICOMweb.",
            )
        return page

    def _change(self, instance: str) -> Change | None:
        """Return the study of an instance and who sent it, None where it was deleted since; asked once a series."""
        held = self._client.read(f"/instances/{instance}")
        if held is None:
            return None
        series = str(held.get("ParentSeries", ""))
        if series not in self._studies:
            study = self._client.read(f"/instances/{instance}/study")
            if study is None:
                return None
            title = self._client.read(f"/instances/{instance}/metadata/RemoteAET", plain=True) or ""
            self._studies[series] = str(study["MainDicomTags"].get("StudyInstanceUID", "")), str(title)
        uid, title = self._studies[series]
        return Change(uid, title=title) if uid else None


class _Rest(WebClient):
    """Orthanc's own interface, with the login, the patience and the errors of the DICOMweb client."""

    def read(self, path: str, *, plain: bool = False) -> Any:
        """Return an answer, None where there is no such thing."""

        def once() -> Any:
            answer = self._session.get(f"{self.base_url}{path}", timeout=self._patience.timeout_s)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            answer.raise_for_status()
            return answer.text.strip() if plain else answer.json()

        return self._tried(once)
