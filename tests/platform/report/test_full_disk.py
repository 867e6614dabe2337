"""A disk that fills up while a report is sent: told plainly wherever it happens, and nothing is lost, doubled or half there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from osler import audit
from osler.report.journal import STORED
from osler.report.receivers import ReceiverOptions, open_receiver
from osler.report.sending import SENT, send_reports
from osler.sources.web_client import Patience
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .conftest import PLAIN, Hospital, uid
from .servers import WebStore

pytestmark = pytest.mark.slow
WRITES = 15  # how often a run waits for the disk, checked below: audit log and its head, journal, settings, twin
TORN = 7  # bytes of its end that a write loses


class Disk:
    """The disk under the workspace: each thing written waits for `os.fsync`, and one of these finds it full."""

    def __init__(self, full_at: int | None, cache: Path) -> None:
        self.full_at, self.cache, self.asked, self.real = full_at, cache, 0, os.fsync

    def __call__(self, handle: int) -> None:
        if self.cache in Path(os.readlink(f"/proc/self/fd/{handle}")).parents:
            return  # costs time and nothing else
        self.asked += 1
        if self.asked - 1 == self.full_at:
            # What was written last is there in part, as on a disk that had no room for all of it.
            held = os.fstat(handle)
            if stat.S_ISREG(held.st_mode):
                os.truncate(handle, max(held.st_size - TORN, 0))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(handle)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, hospital: Hospital) -> Callable[[int | None], Disk]:
    def put_in(full_at: int | None) -> Disk:
        made = Disk(full_at, hospital.workspace.cache)
        monkeypatch.setattr("os.fsync", made)
        return made

    return put_in


def send(hospital: Hospital, store: WebStore) -> list[str]:
    receiver = open_receiver(store.address, ReceiverOptions(patience=Patience(tries=2, pause_s=0.01, timeout_s=30)))
    sent = send_reports(hospital.reporter, [uid(PLAIN)], receiver, hospital.crosswalk, actor="eva", reason="results")
    return [one.state for one in sent]


def require_whole(hospital: Hospital, store: WebStore) -> None:
    """The PACS holds the report once, the workspace its twin and that it arrived, and the audit log is whole."""
    assert len(store.held) == 1
    (twin,) = hospital.workspace.reports.rglob("*.dcm")
    assert twin.read_bytes()[128:132] == b"DICM"
    assert not list(hospital.workspace.reports.rglob("*.part"))
    (issue,) = hospital.reporter.journal.chain(uid(PLAIN), store.address)
    assert issue.state == STORED
    told = [one.action for one in audit.entries(hospital.workspace) if one.subject == uid(PLAIN)]
    assert "report.send" in told
    assert audit.verify(hospital.workspace).fault is None


def test_how_often_a_run_asks_the_disk(hospital: Hospital, disk: Callable[[int | None], Disk]) -> None:
    store = WebStore()
    try:
        empty = disk(None)
        assert send(hospital, store) == [SENT]
        assert empty.asked == WRITES
        require_whole(hospital, store)
    finally:
        store.close()


@pytest.mark.parametrize("write", range(WRITES))
def test_a_full_disk_is_told_and_the_same_command_finishes(
    hospital: Hospital, disk: Callable[[int | None], Disk], write: int
) -> None:
    store = WebStore()
    try:
        full = disk(write)
        with pytest.raises(OslerError) as told:
            send(hospital, store)
        assert told.value.code is Code.DISK_FULL
        assert "run the same command again" in told.value.mend
        full.full_at = None
        send(hospital, store)
        require_whole(hospital, store)
        assert store.received == 1, "nothing is sent twice"
    finally:
        store.close()
