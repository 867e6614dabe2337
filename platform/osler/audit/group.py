"""Threads that write to one audit log at once share the waits for the disk: whoever gets the log writes for all who wait."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from threading import Event, Lock

from osler.audit.entry import Entry, Words, entry_after
from osler.audit.store import BATCH, BATCH_BYTES, AuditStore
from osler_contracts.errors import OslerError, from_os_error


@dataclass(eq=False)
class _Waiting:
    """What a thread wants written, what became of it, and what wakes it: its entry is written, or it is its turn to write."""

    words: Words
    entry: Entry | None = None
    error: OslerError | None = None
    woken: Event = field(default_factory=Event)

    @property
    def done(self) -> bool:
        return self.entry is not None or self.error is not None


class Group:
    """The threads of this process that write to one log; other processes are kept out by the log's own lock.

    One thread writes at a time, always the one that has waited longest, so that its own entry is among those it writes.
    """

    def __init__(self) -> None:
        self._lock, self._waiting, self._led = Lock(), deque[_Waiting](), False

    def record(self, store: AuditStore, words: Words) -> Entry:
        """Append an entry, and return it when it is durable, whoever wrote it.

        Raises:
            OslerError: As `AuditStore.appending`; all whose entries were to be written together get it.
        """
        mine = _Waiting(words)
        with self._lock:
            self._waiting.append(mine)
            leads, self._led = not self._led, True
        try:
            if not leads:
                mine.woken.wait()
                leads = not mine.done
            if leads:
                self._write(store)
        finally:
            self._leave(mine, leads=leads)
        if mine.error is not None:
            raise OslerError(mine.error.code, mine.error.message, mine.error.mend)
        assert mine.entry is not None
        return mine.entry

    def _leave(self, mine: _Waiting, *, leads: bool) -> None:
        """Let the next thread write; also where this one was interrupted while it waited."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                leads = leads or mine.woken.is_set()
            if leads:
                self._led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].woken.set()

    def _write(self, store: AuditStore) -> None:
        """Write what waits, the longest waiting first; those who come while the log is waited for are taken along."""
        batch: list[_Waiting] = []
        try:
            with store.appending() as end:
                made = self._take(batch, end.number, end.sha256)
                end.append(*made)
            for one, entry in zip(batch, made, strict=True):
                one.entry = entry
        except BaseException as error:
            told = error if isinstance(error, OslerError) else from_os_error(OSError(0, "The write was broken off"))
            for one in batch or self._all():
                one.error = told
                one.woken.set()
            if not isinstance(error, OslerError):
                raise
        for one in batch:
            one.woken.set()

    def _take(self, batch: list[_Waiting], number: int, sha256: str) -> list[Entry]:
        """Make the entries of the next batch; it is bounded, so that the log's end can be checked after a crash."""
        made: list[Entry] = []
        size = 0
        with self._lock:
            while self._waiting and len(made) < BATCH:
                entry = entry_after(number, sha256, self._waiting[0].words)
                size += len(entry.line())
                if made and size > BATCH_BYTES:
                    break
                batch.append(self._waiting.popleft())
                made.append(entry)
                number, sha256 = entry.number, entry.sha256
        return made

    def _all(self) -> list[_Waiting]:
        """Return all who wait: the log cannot be had."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(len(self._waiting))]


_groups: dict[tuple[str, str], Group] = {}


def group_of(root: str, address: str) -> Group:
    """Return the group of a workspace's log, in its files or at the address of its database."""
    return _groups.setdefault((root, address), Group())


# A child has none of its parent's threads: what they hold or wait for would never end there.
os.register_at_fork(after_in_child=_groups.clear)
