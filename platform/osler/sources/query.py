"""C-FIND in the study root model (PS3.4 C.6.2): studies, then the series and instances of each."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)

from osler.dicom.refusals import attempt
from osler.sources.studies import Listed
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_PENDING = (0xFF00, 0xFF01)
_TRIES = 3


def find_studies(association: Association, query: Mapping[str, str]) -> dict[str, int | None]:
    """Return the studies that match, with the number of their instances where the PACS tells it.

    Raises:
        OslerError: `usage` for a key that is no keyword; `source-failed`.
    """
    keys = {"StudyInstanceUID": "", "NumberOfStudyRelatedInstances": "", **query}
    rows = {_text(row, "StudyInstanceUID"): row for row in _find(association, "STUDY", keys)}
    return {study: attempt(lambda row=row: _number(row), None) for study, row in sorted(rows.items())}  # type: ignore[misc]


def find_instances(association: Association, study: str) -> list[Listed]:
    """Return the instances of a study in the order of their UIDs.

    Raises:
        OslerError: `source-failed`.
    """
    found = set()
    for series in _find(association, "SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": ""}):
        uid = _text(series, "SeriesInstanceUID")
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": "", "SOPClassUID": ""}
        for row in _find(association, "IMAGE", keys):
            found.add(Listed(study, uid, _text(row, "SOPInstanceUID"), _text(row, "SOPClassUID")))
    return sorted(found)


def _find(association: Association, level: str, keys: Mapping[str, str]) -> list[Dataset]:
    """Return all answers: the next request must not go out between them.

    A query is repeated where fewer answers were handed to us than came in: pynetdicom 3.0 now and then takes one for a request
    and drops it (its issue 875), and an image that is not listed would never be missed.
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    for _ in range(_TRIES):
        came = 0

        def count(_: Event) -> None:
            nonlocal came
            came += 1

        association.bind(evt.EVT_DIMSE_RECV, count)
        answers = list(association.send_c_find(identifier, StudyRootFind))
        association.unbind(evt.EVT_DIMSE_RECV, count)
        code = answers[-1][0].get("Status") if answers else None
        if code != 0:
            raise OslerError(
                Code.SOURCE_FAILED,
                "The PACS broke off." if code is None else f"The PACS refuses the query (status 0x{code:04X}).",
                "Check the filters of --query and the PACS's log, and run the same command again.",
            )
        if came == len(answers):
            return [row for status, row in answers if status.Status in _PENDING and row is not None]
    raise OslerError(
        Code.SOURCE_FAILED,
        f"Answers of the PACS were lost {_TRIES} times.",
        "Run the same command again: what was finished is kept.",
    )


def _text(row: Dataset, keyword: str) -> str:
    return str(attempt(lambda: row.get(keyword), None) or "").strip()


def _number(row: Dataset) -> int | None:
    value = row.get("NumberOfStudyRelatedInstances")
    return None if value in (None, "") else int(value)
