"""The audit log in files: a line an entry, and a head file beside it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from osler.audit.entry import START, Entry, Words, entry_after, parse
from osler.audit.store import BATCH, BATCH_BYTES, LONGEST, Recorded, broken, check_end
from osler.database_address import check_in_files
from osler.files import file_stamp, write_atomically
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

LOG, HEAD = "audit.jsonl", "audit.head"
HEAD_LINE = re.compile(rb"(\d{1,18}) ([0-9a-f]{64})\n")
RECOVERED = "audit.recovered"
KEEP = f"keep {LOG} and {HEAD} as evidence outside the workspace, then a new log begins"


@dataclass(frozen=True)
class AuditFiles:
    """The log of a workspace in its files; see `osler.audit.store.AuditStore`."""

    workspace: Workspace

    @contextmanager
    def appending(self) -> Iterator[_End]:
        """Hold the log; a line that a crash cut off is set aside first, and an entry says so."""
        try:
            with self._locked() as stream:
                check_in_files(self.workspace)
                end = self._end(stream)
                stream.seek(end.place)
                torn = stream.read()
                if torn:
                    stream.truncate(end.place)
                    lost = {"torn_bytes": str(len(torn)), "torn_sha256": hashlib.sha256(torn).hexdigest()}
                    words = Words("osler", RECOVERED, "audit", lost)
                    end.append(entry_after(end.number, end.sha256, words))
                yield end
        except OSError as error:
            raise from_os_error(error) from None

    @contextmanager
    def snapshot(self) -> Iterator[Recorded]:
        """Give the log as it is now.

        Only its end and its head are read under the lock: what is before the end never changes.
        """
        with self.reading() as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - LONGEST, 0))
            block = stream.read()
            torn = block[block.rfind(b"\n") + 1 :] if b"\n" in block or size <= LONGEST else b""
            head = self._noted()
            stream.seek(0)
            fcntl.flock(stream, fcntl.LOCK_UN)
            yield Recorded(_lines(stream, size - len(torn), torn), lambda: _head_of(head))

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Hold log and head as they are: nobody appends meanwhile."""
        path = self.workspace.feedback / LOG
        with (path if path.exists() else Path(os.devnull)).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            try:
                yield stream
            finally:
                fcntl.flock(stream, fcntl.LOCK_UN)

    def stamp(self) -> tuple[object, ...]:
        """Return something that changes with each entry."""
        return file_stamp(self.workspace.feedback / LOG, self.workspace.feedback / HEAD)

    def _end(self, stream: FileIO) -> _End:
        """Return the last whole entry of a log that agrees with its head.

        Only a crash between lines and head leaves the log ahead, by one batch; the head is brought up then.
        """
        begin = max(stream.seek(0, os.SEEK_END) - BATCH_BYTES - LONGEST, 0)
        stream.seek(begin)
        block = stream.read()
        place = block.rfind(b"\n") + 1
        number, sha256 = self._head()
        tail = _tail(block[:place], number)
        entry = check_end(tail, empty=not (begin or place), head=(number, sha256), ahead=BATCH, keep=KEEP)
        if entry is not None and entry.number > number:
            self._write_head(entry)
        last = (entry.number, entry.sha256) if entry else (0, START)
        return _End(self, stream, *last, place=begin + place if entry else 0)

    def _write_head(self, entry: Entry) -> None:
        write_atomically(self.workspace.feedback / HEAD, f"{entry.number} {entry.sha256}\n".encode())

    def _head(self) -> tuple[int, str]:
        return _head_of(self._noted())

    def _noted(self) -> bytes | None:
        path = self.workspace.feedback / HEAD
        return path.read_bytes() if path.exists() else None

    @contextmanager
    def _locked(self) -> Iterator[FileIO]:
        """Open the log under a lock: without it, a line being written looks like one that a crash cut off.

        The lock is let go by name, and not by closing the file, which a process forked meanwhile holds open as well; hence
        nothing may be left in a buffer.
        """
        handle = os.open(self.workspace.feedback / LOG, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            try:
                yield stream
            finally:
                fcntl.flock(stream, fcntl.LOCK_UN)


@dataclass
class _End:
    """The last whole entry, and where its line ends in the file."""

    files: AuditFiles
    stream: FileIO
    number: int
    sha256: str
    place: int

    def append(self, *entries: Entry) -> None:
        """Write entries, then the head."""
        lines = b"".join(entry.line() for entry in entries)
        self.stream.seek(self.place)
        left = memoryview(lines)
        while left:
            left = left[self.stream.write(left) :]
        os.fsync(self.stream.fileno())
        self.number, self.sha256, self.place = entries[-1].number, entries[-1].sha256, self.place + len(lines)
        self.files._write_head(entries[-1])


def _tail(block: bytes, number: int) -> list[Entry | None]:
    """Return the last entry of whole lines, and those before it that come after an entry's number, up to a batch."""
    lines = block.splitlines(keepends=True)
    last = parse(lines[-1]) if lines else None
    if last is None:
        return []
    ahead = min(max(last.number - number, 1), BATCH)
    return [*map(parse, lines[-ahead:-1]), last]


def _lines(stream: BinaryIO, size: int, torn: bytes) -> Iterator[bytes]:
    """Give the whole lines of the first bytes of a log, then the one that was cut off."""
    while size > 0 and (line := stream.readline(size)):
        size -= len(line)
        yield line
    if torn:
        yield torn


def _head_of(noted: bytes | None) -> tuple[int, str]:
    if noted is None:
        return 0, START
    if (match := HEAD_LINE.fullmatch(noted)) is None:
        raise broken("Its head file cannot be read.", KEEP)
    return int(match[1]), match[2].decode()
