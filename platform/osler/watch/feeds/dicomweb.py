"""Asking a DICOMweb server again and again: what changed is told by the number of a study's instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

from osler.sources.dicomweb import INSTANCE, PAGE, STUDY, count_of, paged, value_of
from osler.sources.login import find_login
from osler.sources.web_client import Patience, WebClient
from osler.watch.feeds.base import Batch, Change

Today = Callable[[], date]


class DicomwebFeed:
    """The studies of the last days on a DICOMweb server.

    Args:
        address: DICOMweb root.
        login_file: File in the format of `netrc`.
        ca: Certificates to trust.
        patience: Timeouts and attempts.
        query: Further matching keys of the study level.
        days: How many days back a study's date may lie.
        today: The day, by which the window is counted.
    """

    def __init__(
        self,
        address: str,
        login_file: Path | None,
        ca: Path | None,
        patience: Patience,
        *,
        query: Mapping[str, str],
        days: int,
        today: Today = date.today,
    ) -> None:
        self.name = f"dicomweb {address.rstrip('/')}"
        self._client = WebClient(address.rstrip("/"), find_login(address, login_file), ca, patience)
        self._query, self._days, self._today = dict(query), days, today

    def changes(self, since: str, most: int) -> Batch:
        """Return every study of the window with its mark; see `Feed.changes`. The cursor is not needed."""
        query = {**window(self._today(), self._days), **self._query}
        rows = paged(lambda offset: self._client.studies(query, PAGE, offset), STUDY)
        found = [Change(value_of(row, STUDY), self._mark(row)) for row in rows]
        return Batch(tuple(found), since)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _mark(self, row: Mapping[str, object]) -> str:
        count = count_of(row)
        if count is not None:
            return str(count)
        # A server that does not count must be asked for the instances, or late ones would be missed.
        study = value_of(row, STUDY)
        return str(len(paged(lambda offset: self._client.instances(study, PAGE, offset), INSTANCE)))


def window(today: date, days: int) -> dict[str, str]:
    """Return the matching key of the last days (PS3.4 C.2.2.2.5); a day ahead, for clocks and time zones differ."""
    first, last = today - timedelta(days=days), today + timedelta(days=1)
    return {"StudyDate": f"{first:%Y%m%d}-{last:%Y%m%d}"}
