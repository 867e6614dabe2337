"""Asking a classic PACS again and again by C-FIND; a mark is the number of instances, counted where it is not told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

from pynetdicom import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)

from osler.sources.dimse import Peer, unsupported
from osler.sources.query import find_instances, find_studies
from osler.watch.feeds.base import Batch, Change
from osler.watch.feeds.dicomweb import Today, window


class FindFeed:
    """The studies of the last days on a classic PACS.

    Args:
        peer: The PACS.
        query: Further matching keys of the study level.
        days: How many days back a study's date may lie.
        today: The day, by which the window is counted.
    """

    def __init__(self, peer: Peer, *, query: Mapping[str, str], days: int, today: Today = date.today) -> None:
        self.name = f"dicom://{peer.title}@{peer.host}:{peer.port}"
        self._peer, self._query, self._days, self._today = peer, dict(query), days, today

    def changes(self, since: str, most: int) -> Batch:
        """Return every study of the window with its mark; see `Feed.changes`. The cursor is not needed."""
        query = {**window(self._today(), self._days), **self._query}
        association = self._peer.associate([build_context(StudyRootFind)])
        try:
            found = [
                Change(study, str(count) if count is not None else self._listed(association, study))
                for study, count in find_studies(association, query).items()
            ]
        except ValueError:
            raise unsupported() from None
        finally:
            if association.is_established:
                association.release()
        return Batch(tuple(found), since)

    def close(self) -> None:
        """Nothing is held open between two questions."""

    def _listed(self, association: object, study: str) -> str:
        names = [item.instance for item in find_instances(association, study)]  # type: ignore[arg-type]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
