"""A private folder of the workspace in which a source keeps what is under way: patient data, so for its owner only.

Names in it are hashes. What a source is called, or names, is never part of a path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

FOLDER = "spool"
CHUNK = 1 << 20


class Spool:
    """A folder below `spool/`, locked while it is open.

    Args:
        workspace: The workspace.
        name: Name of the folder.
        keep: Whether files outlive the run, for a source that cannot be asked again; otherwise the folder is emptied
            when it is opened (what a killed run left) and removed when it is closed.
    """

    def __init__(self, workspace: Workspace, name: str, *, keep: bool = False) -> None:
        self.folder = workspace.root / FOLDER / name
        self._keep = keep
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            OslerError: `workspace-occupied` where another process holds it; `disk-full`, `unreadable`.
        """
        try:
            self.folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._take()
            if not self._keep:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise from_os_error(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def path(self, name: str) -> Path:
        """Return where the file of a name goes; the same name gives the same path."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / f"{digest[:40]}.dcm"

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Write a file of the folder chunk by chunk; a failed write leaves nothing behind.

        Raises:
            OslerError: `disk-full` and the like; what `chunks` raises passes through.
        """
        try:
            with open(path, "wb", opener=private) as stream:
                for chunk in chunks:
                    _put(stream, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def drop(self, paths: Iterable[Path]) -> None:
        """Remove files of the folder; other paths are left alone."""
        for path in paths:
            if path.parent == self.folder:
                path.unlink(missing_ok=True)

    def _take(self) -> None:
        lock = os.open(self.folder.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise OslerError(
                Code.WORKSPACE_OCCUPIED,
                "Another process is ingesting from a source of this kind into this workspace.",
                "Wait until it is done, or name another workspace.",
            ) from None
        self._lock = lock


def _put(stream: IO[bytes], chunk: bytes) -> None:
    # Apart from what `chunks` raises: a network's OSError is not the disk's.
    try:
        stream.write(chunk)
    except OSError as error:
        raise from_os_error(error) from None


def private(path: str, flags: int) -> int:
    """Open a file that its owner alone may read; an opener for `open`."""
    return os.open(path, flags, 0o600)
