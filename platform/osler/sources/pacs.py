"""A classic PACS as a source: C-FIND to list, C-MOVE to a receiver of our own or C-GET to fetch (PS3.4 C)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as StudyRootGet,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as StudyRootMove,
)

from osler.ingest.source import Arrival
from osler.sources.dimse import OWN_TITLE, STORAGE_CLASSES, Peer, Tls, decodable_syntaxes, serve, unsupported
from osler.sources.inbox import keep, streaming_into
from osler.sources.query import find_instances, find_studies
from osler.sources.studies import MOST_FAILURES, SAFE_UID, Listed, StudySource
from osler.sources.web_client import Patience
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Instances asked for at a time: what lies on disk unread stays small, and a broken association costs little.
BATCH = 32
MOST_CONTEXTS = 127  # beside the one of C-GET itself
_UNKNOWN_DESTINATION = 0xA801


@dataclass(frozen=True)
class PacsOptions:
    """How to talk to a PACS.

    Attributes:
        get: Fetch by C-GET, over our own association; by C-MOVE otherwise, for which the PACS calls us.
        own_title: Our AE title, under which the PACS knows our address for C-MOVE.
        receive: Address and port where we receive for C-MOVE.
        query: Matching keys of the study level by keyword (PS3.4 C.6.2.1).
        tls: TLS for both directions, None for plain DICOM.
        refetch: Whether to fetch again what an earlier run has settled.
        patience: Timeouts and attempts.
    """

    get: bool = False
    own_title: str = OWN_TITLE
    receive: tuple[str, int] = ("0.0.0.0", 11112)  # where the PACS sends to # nosec B104
    query: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    refetch: bool = False
    patience: Patience = field(default_factory=Patience)


class _Fetcher(Protocol):
    def __call__(self, batch: Sequence[Listed]) -> None:
        """Have instances of one series sent to the spool, as far as the PACS can."""


class PacsSource(StudySource):
    """The instances of a PACS, in the order of their UIDs.

    Args:
        host: Host of the PACS.
        port: Its port.
        title: Its AE title.
        workspace: Where instances are spooled and the journal is kept.
        key: Key of the pseudonyms, for the journal.
        options: How to talk to it.
    """

    def __init__(
        self, host: str, port: int, title: str, workspace: Workspace, key: bytes, options: PacsOptions
    ) -> None:
        super().__init__("pacs", f"dicom://{title}@{host}:{port}", workspace, key, refetch=options.refetch)
        self._options = options
        self._peer = Peer(host, port, title, options.own_title, options.tls, options.patience)
        self._expected: dict[str, Path] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """List the studies and, for C-MOVE, begin to receive.

        Raises:
            OslerError: `empty-source` where no study matches; `address-occupied`, `login-invalid`, `source-refused`,
                `source-failed`, `source-unreachable`, `workspace-occupied`.
        """
        with ExitStack() as stack:
            stack.enter_context(self._spool)
            stack.enter_context(self._journal)
            stack.enter_context(streaming_into(self._spool.folder / "receiving"))
            if not self._options.get:
                stack.enter_context(self._receiver())
            with self._association(StudyRootFind) as association:
                self._studies = find_studies(association, self._options.query)
            if not self._studies:
                raise OslerError(
                    Code.EMPTY_SOURCE, "The PACS has no study that matches.", "Check the filters of --query."
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _list(self, study: str) -> list[Listed]:
        with self._association(StudyRootFind) as association:
            return find_instances(association, study)

    def _fetch_study(self, wanted: Sequence[Listed]) -> Iterator[Arrival]:
        fetch: _Fetcher = self._get if self._options.get else self._move
        for _, alike in itertools.groupby(wanted, key=lambda item: (item.series, item.storage)):
            while batch := list(itertools.islice(alike, BATCH)):
                safe = [item for item in batch if item.safe]
                self._expected = {item.instance: self._spool.path(item.name) for item in safe}
                for _twice in range(2):
                    missing = [item for item in safe if not self._expected[item.instance].exists()]
                    if missing:
                        fetch(missing)
                yield from (self._arrival(item) for item in batch)

    def _given_up(self, last: OslerError) -> OslerError:
        return OslerError(
            Code.SOURCE_FAILED,
            f"The PACS did not deliver {MOST_FAILURES} images in a row.",
            "Look into its log, and run the same command again: what was finished is kept.",
        )

    def _move(self, batch: Sequence[Listed]) -> None:
        with self._association(StudyRootMove) as association:
            answers = association.send_c_move(_identifier(batch), self._options.own_title, StudyRootMove)
            if _final(answers) == _UNKNOWN_DESTINATION:
                title, (host, port) = self._options.own_title, self._options.receive
                raise OslerError(
                    Code.SOURCE_REFUSED,
                    f"The PACS does not know where {title} is.",
                    f"Have {title} entered there with this machine's address and port {port} (we receive at {host}), "
                    "or fetch with --get.",
                )

    def _get(self, batch: Sequence[Listed]) -> None:
        for storages, syntaxes in _proposals(batch[0].storage):
            missing = [item for item in batch if not self._expected[item.instance].exists()]
            if not missing:
                return
            # One context for each syntax, so that the PACS need not choose one for all and transcode.
            contexts = [build_context(storage, syntax) for storage in storages for syntax in syntaxes]
            roles = [build_role(storage, scp_role=True) for storage in storages]
            handlers = [(evt.EVT_C_STORE, self._store)]
            with self._association(StudyRootGet, contexts, roles, handlers) as association:
                _final(association.send_c_get(_identifier(missing), StudyRootGet))

    def _store(self, event: Event) -> int:
        return keep(event, self._expected.get)

    @contextmanager
    def _association(
        self,
        model: str,
        contexts: Sequence[PresentationContext] = (),
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[EventHandlerType] = (),
    ) -> Iterator[Association]:
        association = self._peer.associate([build_context(model), *contexts], roles, handlers)
        try:
            yield association
        except ValueError:
            raise unsupported() from None
        finally:
            if association.is_established:
                association.release()

    @contextmanager
    def _receiver(self) -> Iterator[None]:
        options = self._options
        server = serve(
            options.receive,
            options.own_title,
            callers=[self._peer.title],
            tls=options.tls,
            patience=options.patience,
            handlers=[(evt.EVT_C_STORE, self._store)],
        )
        try:
            yield
        finally:
            server.shutdown()


def _proposals(storage: str) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield storage classes and transfer syntaxes to propose together: an association has room for 128 contexts.

    Where a PACS does not tell the SOP Class of what it lists, all are tried in turn.
    """
    if SAFE_UID.fullmatch(storage):
        yield [storage], decodable_syntaxes()
        return
    for syntax in decodable_syntaxes():
        for start in range(0, len(STORAGE_CLASSES), MOST_CONTEXTS):
            yield STORAGE_CLASSES[start : start + MOST_CONTEXTS], [syntax]


def _identifier(batch: Sequence[Listed]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = batch[0].study
    identifier.SeriesInstanceUID = batch[0].series
    identifier.SOPInstanceUID = [item.instance for item in batch]
    return identifier


def _final(answers: Iterator[tuple[Dataset, Dataset | None]]) -> int | None:
    """Return the last status, None where the PACS broke off: what has not arrived by then is missing."""
    code = None
    for status, _ in answers:
        code = status.get("Status")
    return code
