"""Finding the files of a source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def list_files(source: Path, exclude: Sequence[Path] = ()) -> list[Path]:
    """Return every file below a source, hidden ones too, in the order of their paths.

    Links are followed; a folder that was visited already, by whatever path, is not entered again. What is no regular
    file (a pipe, a link that leads nowhere) is listed too: it was received, and will be refused.

    Args:
        source: A folder, or a single file.
        exclude: Folders not to enter: the workspace's own.

    Raises:
        OslerError: `source-missing`, or `empty-source` where there is no file.
    """
    if not source.exists():
        raise OslerError(Code.SOURCE_MISSING, f"There is no folder {source}.", "Check the path.")
    if not source.is_dir():
        return [source]
    seen = {_identity(folder) for folder in exclude if folder.is_dir()}
    files: list[Path] = []
    for folder, folders, names in os.walk(source, followlinks=True):
        if _identity(Path(folder)) in seen:
            folders.clear()
            continue
        seen.add(_identity(Path(folder)))
        folders.sort()
        files += [Path(folder, name) for name in names]
    if not files:
        raise OslerError(
            Code.EMPTY_SOURCE, f"There is no file below {source}.", "Name the folder that holds the files."
        )
    return sorted(files)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
