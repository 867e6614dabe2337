"""Threads that write at once wait for the disk once; what was acknowledged is in the log, whatever ends the process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.platform.database.postgres import in_files

from osler import audit
from osler.audit import HEAD, LOG, RECOVERED, Entry, entries, record, verify
from osler.audit.group import group_of
from osler.audit.store import BATCH
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from osler import audit
from osler.workspace import Workspace
workspace = Workspace.open(Path(sys.argv[1]))
def write(thread):
    while True:
        entry = audit.record(workspace, actor=f"thread {thread}", action="test.step", subject="x", details={"of": "y" * 900})
        sys.stdout.write(f"{entry.number} {entry.sha256}\\n")
        sys.stdout.flush()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(write, range(8)))
"""


@pytest.fixture
def workspace(kept_in: str, tmp_path: Path) -> Workspace:
    """Return a workspace with one entry, in files and in PostgreSQL."""
    made = Workspace.open(tmp_path / "workspace", create=True)
    record(made, actor="A", action="test", subject="first")
    return made


def write(workspace: Workspace, subject: str, size: int = 0) -> Entry:
    return record(workspace, actor="A", action="test", subject=subject, details={"text": "x" * size})


@contextmanager
def occupied(workspace: Workspace) -> Iterator[None]:
    """Hold the log as another process does that writes to it."""
    with (workspace.feedback / LOG).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
        fcntl.flock(stream, fcntl.LOCK_UN)  # a child that was made meanwhile holds the file as well


def together(workspace: Workspace, count: int, size: int = 0) -> list[Future[Entry]]:
    """Let threads write while the log is held, until all wait; return what became of them."""
    waiting = group_of(str(workspace.root), "None")._waiting
    with ThreadPoolExecutor(count) as pool:
        with occupied(workspace):
            made = [pool.submit(write, workspace, str(number), size) for number in range(count)]
            while len(waiting) < count:
                time.sleep(0.001)
        return made


@in_files()
def test_all_who_wait_share_one_wait_for_the_disk(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def counted(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    monkeypatch.setattr(os, "fsync", counted)
    made = [one.result() for one in together(workspace, 20)]
    assert synced == [LOG, f".{HEAD}.part", "feedback"]
    assert sorted(one.number for one in made) == list(range(2, 22))
    assert entries(workspace)[1:] == sorted(made, key=lambda one: one.number)
    assert verify(workspace).fault is None


@in_files()
@pytest.mark.parametrize(("count", "size"), [(BATCH + 9, 0), (40, 3900)])
def test_more_than_a_batch_is_written_in_several(workspace: Workspace, count: int, size: int) -> None:
    made = [one.result() for one in together(workspace, count, size)]
    assert sorted(one.number for one in made) == list(range(2, count + 2))
    assert verify(workspace) == audit.Verification(count + 1, entries(workspace)[-1].sha256)


def test_each_thread_gets_its_own_entry(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: write(workspace, str(number)), range(80)))
    assert [one.subject for one in made] == [str(number) for number in range(80)]
    assert sorted(made, key=lambda one: one.number) == entries(workspace)[1:]
    assert verify(workspace).fault is None


@in_files()
def test_where_the_log_cannot_be_written_all_who_wait_are_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, "fsync", full)
        told = [one.exception() for one in together(workspace, 5)]
    assert {one.code for one in told if isinstance(one, OslerError)} == {Code.DISK_FULL}
    assert len({id(one) for one in told}) == 5
    write(workspace, "after")
    assert verify(workspace).fault is None


@in_files()
def test_a_log_that_was_tampered_with_is_told_to_all_who_wait(workspace: Workspace) -> None:
    write(workspace, "second")
    log = workspace.feedback / LOG
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    told = [one.exception() for one in together(workspace, 3)]
    assert {one.code for one in told if isinstance(one, OslerError)} == {Code.AUDIT_BROKEN}
    assert len(told) == 3


@in_files()
def test_a_crash_anywhere_in_a_batch_leaves_a_log_that_goes_on(workspace: Workspace) -> None:
    log, head = workspace.feedback / LOG, workspace.feedback / HEAD
    former, before = head.read_bytes(), log.read_bytes()
    for one in together(workspace, 6):
        one.result()
    batch = log.read_bytes()[len(before) :]
    for cut in {
        0,
        1,
        len(batch) // 3,
        len(batch) // 2,
        batch.index(b"\n"),
        batch.index(b"\n") + 1,
        len(batch) - 1,
        len(batch),
    }:
        log.write_bytes(before + batch[:cut])
        head.write_bytes(former)
        whole, torn = batch[:cut].count(b"\n"), batch[:cut].rpartition(b"\n")[2]
        assert verify(workspace).count == 1 + whole
        assert (verify(workspace).torn, verify(workspace).fault) == (len(torn), None)
        write(workspace, "after")
        said = [one.details for one in entries(workspace) if one.action == RECOVERED]
        told = {"torn_bytes": str(len(torn)), "torn_sha256": hashlib.sha256(torn).hexdigest()}
        assert said == ([told] if torn else [])
        assert verify(workspace).fault is None


@in_files()
def test_a_child_of_a_process_whose_threads_wait_can_write(workspace: Workspace) -> None:
    waiting = group_of(str(workspace.root), "None")._waiting
    with ThreadPoolExecutor(1) as pool:
        with occupied(workspace):
            waits = pool.submit(write, workspace, "parent")
            while not waiting:
                time.sleep(0.001)
            child = os.fork()
            if child == 0:
                ended = 1
                try:
                    write(workspace, "child")
                    ended = 0
                finally:
                    os._exit(ended)  # it must not go on with the tests of its parent
        assert waits.result().subject == "parent"
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(one.subject for one in entries(workspace)) == ["child", "first", "parent"]


@in_files()
@pytest.mark.parametrize("after", [1, 40, 150])
def test_what_was_acknowledged_outlives_the_process(workspace: Workspace, after: int) -> None:
    """Killed (-9) while eight threads write, again and again on one log; the last line may be torn, none is lost."""
    acknowledged: list[tuple[int, str]] = []
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, str(workspace.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(after):
                number, sha256 = writer.stdout.readline().split()
                acknowledged.append((int(number), sha256))
            writer.send_signal(signal.SIGKILL)
            whole = [line.split() for line in writer.stdout if line.endswith("\n")]
            acknowledged += [(int(number), sha256) for number, sha256 in whole]
    found = verify(workspace)
    assert found.fault is None
    held = {one.number: one.sha256 for one in entries(workspace)}
    assert len(acknowledged) >= 2 * after
    assert all(held[number] == sha256 for number, sha256 in acknowledged)
    write(workspace, "after")
    assert verify(workspace).fault is None
    assert [json.loads(line)["number"] for line in (workspace.feedback / LOG).read_bytes().splitlines()] == list(
        range(1, len(entries(workspace)) + 1)
    )
