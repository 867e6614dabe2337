"""A classic PACS on loopback, by pynetdicom's own service classes, that errs as it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from osler.sources.dimse import decodable_syntaxes, send_at_once

TITLE = "PACS"
_LEVELS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class Faults:
    """How the PACS errs.

    Attributes:
        withheld: SOP Instance UIDs that it lists and does not send.
        find_status: Status of every C-FIND instead of an answer.
        move_status: Status of every C-MOVE or C-GET instead of an answer.
        aborts: How often it aborts in a retrieval.
        tells_class: Whether it tells the SOP Class of what it lists.
        counts: Whether it tells how many instances a study has.
        extra: Added to that number.
    """

    withheld: set[str] = field(default_factory=set)
    find_status: int | None = None
    move_status: int | None = None
    aborts: int = 0
    tells_class: bool = True
    counts: bool = True
    extra: int = 0


class PacsServer:
    """The PACS, running; it knows OSLER at `receive_port` and nobody else."""

    def __init__(
        self,
        datasets: list[Dataset],
        receive_port: int,
        caller: str = "OSLER",
        ssl_context: Any = None,
        tls_out: Any = None,
    ) -> None:
        self.datasets = datasets
        self.faults = Faults()
        self.retrieved: Counter[str] = Counter()
        self.found: list[Dataset] = []
        self._receive_port = receive_port
        self._tls_out = tls_out
        entity = AE(TITLE)
        entity.require_called_aet = True
        entity.require_calling_aet = [caller]
        for model in (
            StudyRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelGet,
            StudyRootQueryRetrieveInformationModelMove,
            Verification,
        ):
            entity.add_supported_context(model)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(
                context.abstract_syntax, list(decodable_syntaxes()), scu_role=True, scp_role=True
            )
        handlers: Any = [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
        ]
        self._server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=ssl_context
        )
        assert self._server is not None
        self.port = int(self._server.server_address[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        identifier = event.identifier
        self.found.append(identifier)
        if self.faults.find_status is not None:
            yield self.faults.find_status, None
            return
        keyword = _LEVELS[identifier.QueryRetrieveLevel]
        matching = [item for item in self.datasets if _matches(item, identifier, keyword)]
        for uid in dict.fromkeys(str(item[keyword].value) for item in matching):
            item = next(item for item in matching if item[keyword].value == uid)
            answer = Dataset()
            answer.QueryRetrieveLevel = identifier.QueryRetrieveLevel
            answer.StudyInstanceUID = item.StudyInstanceUID
            setattr(answer, keyword, uid)
            if keyword == "StudyInstanceUID" and self.faults.counts:
                count = sum(1 for other in self.datasets if other.StudyInstanceUID == uid)
                answer.NumberOfStudyRelatedInstances = count + self.faults.extra
            if keyword == "SOPInstanceUID" and self.faults.tells_class:
                answer.SOPClassUID = item.SOPClassUID
            yield 0xFF00, answer

    def _get(self, event: evt.Event) -> Iterator[Any]:
        yield from self._retrieve(event)

    def _move(self, event: evt.Event) -> Iterator[Any]:
        if event.move_destination != "OSLER":
            yield None, None
            return
        classes = {item.SOPClassUID for item in self.datasets}
        contexts = [build_context(storage, syntax) for storage in classes for syntax in decodable_syntaxes()]
        tls = (self._tls_out, "127.0.0.1") if self._tls_out else None
        yield "127.0.0.1", self._receive_port, {"contexts": contexts, "tls_args": tls}
        yield from self._retrieve(event)

    def _retrieve(self, event: evt.Event) -> Iterator[Any]:
        identifier = event.identifier
        wanted = identifier.SOPInstanceUID
        uids = [wanted] if isinstance(wanted, str) else list(wanted)
        if self.faults.aborts:
            self.faults.aborts -= 1
            event.assoc.abort()
            return
        if self.faults.move_status is not None:
            yield 1
            yield self.faults.move_status, None
            return
        found = [item for item in self.datasets if item.SOPInstanceUID in uids]
        sent = [item for item in found if item.SOPInstanceUID not in self.faults.withheld]
        self.retrieved.update(item.SOPInstanceUID for item in found)
        yield len(sent)
        for item in sent:
            yield 0xFF00, item


def _matches(item: Dataset, identifier: Dataset, keyword: str) -> bool:
    for element in identifier:
        if element.keyword in ("QueryRetrieveLevel", keyword, "NumberOfStudyRelatedInstances") or not element.value:
            continue
        if item.get(element.keyword) != element.value:
            return False
    return True


def as_stored(dataset: Dataset) -> Dataset:
    """Complete what a stored object needs."""
    dataset.file_meta.TransferSyntaxUID = dataset.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset
