"""What has been settled of a source that can be asked again, so that a run that was killed goes on where it was.

One line of an instance, written when its outcome is on disk: a keyed hash of its UIDs, since UIDs name patients.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import IO, Self

from osler.sources.spool import FOLDER, private
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

DIGITS = 32


class Journal:
    """The journal of one source in one workspace.

    Args:
        workspace: The workspace.
        source: What tells this source from others: its address.
        key: Key of the pseudonyms.
        forget: Whether to begin anew, so that everything is fetched again.
    """

    def __init__(self, workspace: Workspace, source: str, key: bytes, *, forget: bool = False) -> None:
        self._key = hashlib.sha256(b"osler journal" + key).digest()
        self._path = workspace.root / FOLDER / f"{self._mark(source)}.journal"
        self._forget = forget
        self._settled: set[str] = set()
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        """Read the journal; a last line that a kill cut short is passed over, and its instance is fetched again."""
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            if self._forget:
                self._path.unlink(missing_ok=True)
            text = self._path.read_text("ascii", "replace") if self._path.exists() else ""
            self._settled = {line for line in text.split("\n") if len(line) == DIGITS}
            self._stream = open(self._path, "a", encoding="ascii", opener=private)
            if text and not text.endswith("\n"):
                self._stream.write("\n")
        except OSError as error:
            raise from_os_error(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __contains__(self, name: str) -> bool:
        return self._mark(name) in self._settled

    def add(self, names: Iterable[str]) -> None:
        """Note that instances are settled, and wait until the disk has it.

        Raises:
            OslerError: `disk-full` and the like.
        """
        marks = [self._mark(name) for name in names]
        if not marks or self._stream is None:
            return
        try:
            self._stream.write("".join(f"{mark}\n" for mark in marks))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise from_os_error(error) from None
        self._settled.update(marks)

    def _mark(self, name: str) -> str:
        return hashlib.blake2b(name.encode(), key=self._key, digest_size=DIGITS // 2).hexdigest()
