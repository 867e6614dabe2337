"""Writing files so that a crash leaves the old state or the new one, never half of a file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error


def write_synced(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file and wait until it is on the disk; a failed write leaves nothing behind.

    Args:
        path: The file; a private one must not be there yet.
        content: What it holds.
        private: Whether its owner alone may read it.
    """
    try:
        with open(path, "xb" if private else "wb", opener=open_private if private else None) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def open_private(path: str, flags: int) -> int:
    """Open a file, made for its owner alone where it is not there; an `opener` of the function `open`."""
    return os.open(path, flags, 0o600)


def move_synced(source: Path, target: Path) -> None:
    """Move a file into its place, over whatever is there, and wait until the folder knows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is seen whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    write_synced(part, content)
    move_synced(part, path)


def write_privately(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, and that is seen whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    write_synced(part, content, private=True)
    move_synced(part, path)


def file_stamp(*paths: Path) -> tuple[tuple[int, ...], ...]:
    """Return something that changes with each change to files, whether they are there or not; empty where one is not."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):  # not asked before: SQLite's own files go as their last reader does
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made for it, once nobody else does; the system frees it when the process ends."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_lines(path: Path) -> Iterator[BinaryIO]:
    """Open a file of lines under a lock: without it, a line being written looks like one that a crash cut off.

    Raises:
        OslerError: `disk-full` and the like.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
    except OSError as error:
        raise from_os_error(error) from error


def append_line(stream: BinaryIO, record: Mapping[str, Any]) -> None:
    """Append a record as a line of JSON, on disk when this returns; a line that a crash cut off is closed first."""
    size = stream.seek(0, os.SEEK_END)
    torn = size > 0 and os.pread(stream.fileno(), 1, size - 1) != b"\n"
    stream.write((b"\n" if torn else b"") + json.dumps(record, sort_keys=True).encode() + b"\n")
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the archive's lock; the system frees it when the process ends, however it ends.

    Raises:
        OslerError: `workspace-occupied` where another process holds it.
    """
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OslerError(
                Code.WORKSPACE_OCCUPIED,
                "Another process is writing to this workspace.",
                "Wait until it is done, or name another workspace.",
            ) from None
        yield
