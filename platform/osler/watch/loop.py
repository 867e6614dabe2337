"""Running the watch until somebody stops it: turns, pauses where something is wrong with all studies, signs of life."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

from osler import audit
from osler.files import only_writer
from osler.watch.backoff import pause
from osler.watch.engine import Engine
from osler.watch.opening import open_engine
from osler.watch.records import OPEN
from osler.watch.settings import WatchSettings
from osler.watch.status import FOLDER, Beat, write_beat
from osler.watch.steps import as_told
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

BEAT_S = 15.0
AWAITED = frozenset({Code.DATABASE_UNREACHABLE, Code.DISK_FULL})
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Watch:
    """A watch over one PACS.

    Args:
        workspace: The workspace.
        settings: What to follow, and what to do with it.
        say: Hears, in a line, what an operator should know.
    """

    def __init__(self, workspace: Workspace, settings: WatchSettings, say: Callable[[str], None]) -> None:
        self._workspace, self._settings, self._say = workspace, settings, say
        self._stop = threading.Event()
        self._draw = Random()
        self._started = time.time()
        self._pauses = 0
        self._counts: dict[str, int] = {}

    def stop(self) -> None:
        """Leave after the step under way."""
        self._stop.set()

    def run(self, *, once: bool = False) -> dict[str, int]:
        """Watch until stopped, or, with `once`, until nothing is under way; return the studies by stage.

        Raises:
            OslerError: `workspace-occupied` where another watch runs; what `open_engine` raises.
        """
        folder = self._workspace.root / FOLDER
        folder.mkdir(exist_ok=True)
        with only_writer(folder), _on_signals(self._stop):
            engine = self._opened()
            if engine is not None:
                try:
                    self._turns(engine, once)
                finally:
                    engine.feed.close()
            self._beat("stopped", 0.0)
            self._audit("watch.stop")
        return self._counts

    def _opened(self) -> Engine | None:
        """Open all that is needed, and wait for a database that is down; None where somebody stops it meanwhile."""
        while not self._stop.is_set():
            try:
                return open_engine(self._workspace, self._settings, self._stop.is_set)
            except OslerError as error:
                if error.code not in AWAITED:
                    raise
                self._pause(error)
        return None

    def _turns(self, engine: Engine, once: bool) -> None:
        self._audit("watch.start")
        self._say(f"watching {self._settings.follow.address}")
        recovered = False
        while not self._stop.is_set():
            self._beat("working", BEAT_S)
            try:
                if not recovered:
                    engine.recover()
                    recovered = True
                done = engine.turn()
                self._counts = dict(engine.store.counts())
                self._pauses = 0
            except Exception as error:  # noqa: BLE001 - a watch that ends at night is no watch
                self._pause(as_told(error))
                continue
            if done:
                continue
            if once and not any(self._counts.get(str(stage)) for stage in OPEN):
                break
            self._beat("waiting", self._settings.follow.every_s)
            self._stop.wait(self._settings.follow.every_s)

    def _pause(self, error: OslerError) -> None:
        limits = self._settings.limits
        self._pauses += 1
        seconds = pause(self._pauses, limits.pause_s, limits.longest_pause_s, self._draw)
        self._say(f"pausing {seconds:.0f} s: {error.message} [{error.code}]")
        self._beat("paused", seconds, error)
        self._stop.wait(seconds)

    def _beat(self, state: str, seconds: float, error: OslerError | None = None) -> None:
        now = time.time()
        beat = Beat(
            state=state,
            at=now,
            next=now + seconds,
            started=self._started,
            pid=os.getpid(),
            feed=self._settings.follow.feed,
            code="" if error is None else str(error.code),
            reason="" if error is None else f"{error.message} {error.mend}".strip(),
            pauses=self._pauses,
            counts=self._counts,
        )
        try:
            write_beat(self._workspace, beat)
        except OslerError as failure:  # a full disk must not end the watch that waits for room on it
            self._say(f"no sign of life could be left: {failure.message}")

    def _audit(self, action: str) -> None:
        """Write down that the watch began or ended; where the log cannot be written, nothing that must be audited is done."""
        try:
            audit.record(
                self._workspace,
                actor=self._settings.actor,
                action=action,
                subject="watch",
                details={"feed": self._settings.follow.feed},
            )
        except OslerError as error:
            self._say(f"{action} could not be audited: {error.message}")


@contextmanager
def _on_signals(stop: threading.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT set an event; a second one ends the process as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
