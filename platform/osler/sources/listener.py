"""Being sent images: a listener for C-STORE, whose spool survives a kill until all of it is ingested."""

from __future__ import annotations

import hashlib
import itertools
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from pynetdicom import evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from osler.ingest.source import Arrival
from osler.sources.dimse import OWN_TITLE, Tls, serve
from osler.sources.inbox import NO_RESOURCES, SUCCESS, keep, streaming_into
from osler.sources.spool import Spool
from osler.sources.web_client import Patience
from osler.workspace import Workspace

# Files on disk that nobody has asked for yet; then senders wait, and after a while are told to come back.
MOST_WAITING = 5000
WAIT_S = 30.0
TICK_S = 0.1
GRACE_S = 3.0


@dataclass(frozen=True)
class ListenOptions:
    """When to stop, and whom to hear.

    Attributes:
        title: Own AE title; who calls another is rejected.
        callers: AE titles that may call; everybody where it is empty.
        idle_s: Seconds without traffic after which to stop; None waits for ever.
        until: Number of objects after which to stop; None for no limit.
        tls: TLS, None for plain DICOM.
        patience: Timeouts of associations.
    """

    title: str = OWN_TITLE
    callers: Sequence[str] = ()
    idle_s: float | None = None
    until: int | None = None
    tls: Tls | None = None
    patience: Patience = field(default_factory=Patience)


class ListenerSource:
    """What is sent to us, in the order of arrival; first what an earlier run received and did not settle.

    SIGTERM and SIGINT stop the receiving, not the ingestion: what was acknowledged is settled first.

    Args:
        host: Address to listen at.
        port: Port, 0 for a free one.
        workspace: Where the spool lies.
        site: Site of the files; each has a spool of its own, so that a restart cannot mix them up.
        options: When to stop, and whom to hear.
    """

    total = None

    def __init__(self, host: str, port: int, workspace: Workspace, site: str, options: ListenOptions) -> None:
        self._address = (host, port)
        self._options = options
        self._spool = Spool(workspace, f"listener-{hashlib.sha256(site.encode()).hexdigest()[:12]}", keep=True)
        self._waiting: queue.Queue[Path] = queue.Queue(MOST_WAITING)
        self._number = itertools.count()
        self._stored = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._heard = time.monotonic()
        self._stack = ExitStack()
        self._server: ThreadedAssociationServer | None = None
        self._port = port

    @property
    def port(self) -> int:
        """The port that is listened at, once it is."""
        return self._port

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            OslerError: `address-occupied`, `login-invalid`, `workspace-occupied`.
        """
        with ExitStack() as stack:
            stack.enter_context(self._spool)
            stack.enter_context(streaming_into(self._spool.folder / "receiving"))
            self._left = sorted(self._spool.folder.glob("*.dcm"))
            self._server = self._listen()
            stack.callback(self._shut)
            stack.callback(_on_signals(self._stop))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Arrival]:
        """Yield what was left, then what comes, until one of the reasons to stop."""
        for path in self._left:
            yield Arrival(path, last_for_now=path == self._left[-1])
        self._heard = time.monotonic()
        while True:
            try:
                path = self._waiting.get(timeout=TICK_S)
                yield Arrival(path, last_for_now=self._waiting.empty())
            except queue.Empty:
                if self._done():
                    self._shut()
                    break
        while not self._waiting.empty():
            yield Arrival(self._waiting.get())

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Drop what is archived or in quarantine; the rest stays for the next run."""
        self._spool.drop(arrival.path for arrival in arrivals)

    def _listen(self) -> ThreadedAssociationServer:
        options = self._options
        server = serve(
            self._address,
            options.title,
            callers=options.callers,
            tls=options.tls,
            patience=options.patience,
            handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_DATA_RECV, self._hear)],
        )
        self._port = int(server.server_address[1])
        return server

    def _shut(self) -> None:
        """Hear nobody else, let those who are connected hear the answers that they wait for, and hang up."""
        self._stop.set()
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        patience = time.monotonic() + GRACE_S
        while server.active_associations and time.monotonic() < patience:
            time.sleep(TICK_S)
        for association in server.active_associations:
            association.abort()

    def _hear(self, _event: Event) -> None:
        self._heard = time.monotonic()

    def _store(self, event: Event) -> int:
        with self._lock:
            # Reserved before the write, so that several senders together do not pass the limit.
            if self._stop.is_set() or self._stored == self._options.until:
                Path(event.dataset_path).unlink(missing_ok=True)
                return NO_RESOURCES
            self._stored += 1
            number = next(self._number)
        path = self._spool.folder / f"{time.time_ns():020d}-{number:09d}.dcm"
        status = keep(event, lambda _uid: path)
        if status == SUCCESS:
            try:
                self._waiting.put(path, timeout=WAIT_S)
            except queue.Full:
                path.unlink(missing_ok=True)
                status = NO_RESOURCES
        if status != SUCCESS:
            with self._lock:
                self._stored -= 1
        self._heard = time.monotonic()
        return status

    def _done(self) -> bool:
        options = self._options
        quiet = time.monotonic() - self._heard
        idle = options.idle_s is not None and quiet >= options.idle_s
        return idle or self._stop.is_set() or self._stored == options.until


def _on_signals(stop: threading.Event) -> Callable[[], None]:
    """Have SIGTERM and SIGINT set an event; return what puts the former handlers back."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore
