"""Writing files so that a crash leaves the old state or the new one, never half of a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk; a failed write leaves nothing behind."""
    try:
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


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
