"""A folder as a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from osler.dicom.refusals import refusal
from osler.ingest.source import Arrival
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


class FolderSource:
    """Every file below a folder, hidden ones too, in the order of their paths; or a single file.

    Links are followed; a folder that was visited already, by whatever path, is not entered again. What is no regular
    file (a pipe, a link that leads nowhere) arrives too and will be refused, as does a folder that cannot be listed.
    One folder's names are in memory at a time.

    Args:
        path: A folder, or a single file.
        exclude: Folders not to enter: the workspace's own.

    Raises:
        OslerError: `source-missing`, or `empty-source` where there is no file.
    """

    def __init__(self, path: Path, exclude: Sequence[Path] = ()) -> None:
        if not path.exists():
            raise OslerError(Code.SOURCE_MISSING, f"There is no folder {path}.", "Check the path.")
        self._path = path
        self._excluded = frozenset(_identity(folder) for folder in exclude if folder.is_dir())
        self._total = sum(1 for _ in self)
        if not self._total:
            raise OslerError(
                Code.EMPTY_SOURCE, f"There is no file below {path}.", "Name the folder that holds the files."
            )

    @property
    def total(self) -> int:
        """Number of files when the folder was opened."""
        return self._total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the folder as it is."""

    def __iter__(self) -> Iterator[Arrival]:
        """Walk the folder."""
        if not self._path.is_dir():
            yield Arrival(self._path)
            return
        seen = set(self._excluded)
        ahead = [iter((self._path,))]  # a stack, since folders may lie deeper than Python's own
        while ahead:
            path = next(ahead[-1], None)
            if path is None:
                ahead.pop()
            elif not _is_folder(path):
                yield Arrival(path)
            elif (identity := _identity(path)) not in seen:
                seen.add(identity)
                try:
                    ahead.append(iter([path / name for name in sorted(os.listdir(path))]))
                except OSError:
                    yield Arrival(path, refusal(Code.UNREADABLE, "The folder cannot be listed."))

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing was spooled."""


def _is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; one that is too long for the system leads nowhere."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
