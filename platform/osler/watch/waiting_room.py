"""Where a study lies between the PACS and the archive: patient data, so below `spool`, for its owner only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from osler.files import write_atomically
from osler.ingest.source import Arrival
from osler.sources.spool import FOLDER
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

MANIFEST = "manifest.json"


def room_of(workspace: Workspace) -> Path:
    """Return the folder of fetched studies, a folder each by pseudonym; it need not be there."""
    return workspace.root / FOLDER / "watch"


class WaitingRoom:
    """The folder of fetched studies, a folder each, named by pseudonym.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._folder = room_of(workspace)
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)

    def empty(self, uid: str) -> Path:
        """Return the folder of a study, emptied of what an earlier attempt left.

        Raises:
            OslerError: `disk-full` and the like.
        """
        self.leave(uid)
        try:
            (self._folder / uid).mkdir(mode=0o700)
        except OSError as error:
            raise from_os_error(error) from None
        return self._folder / uid

    def complete(self, uid: str, files: Sequence[Path]) -> None:
        """Say, on disk, that all files of a study are there."""
        names = {path.name: path.stat().st_size for path in files}
        try:
            write_atomically(self._folder / uid / MANIFEST, json.dumps(names).encode())
        except OSError as error:
            raise from_os_error(error) from None

    def files(self, uid: str) -> list[Path] | None:
        """Return the files of a study, None where not all of them are there."""
        folder = self._folder / uid
        try:
            sizes = json.loads((folder / MANIFEST).read_bytes())
            whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, AttributeError):
            return None
        return [folder / name for name in sorted(sizes)] if whole else None

    def leave(self, uid: str) -> None:
        """Remove a study's folder."""
        shutil.rmtree(self._folder / uid, ignore_errors=True)

    def keep_only(self, uids: set[str]) -> None:
        """Remove the folders of all other studies: what a killed run left."""
        for folder in self._folder.iterdir():
            if folder.name not in uids:
                shutil.rmtree(folder, ignore_errors=True)


class FetchedSource:
    """Fetched files as a source of ingestion.

    Args:
        files: The files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)

    @property
    def total(self) -> int:
        """Number of files."""
        return len(self._files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was fetched is removed when the watch has noted its outcome."""

    def __iter__(self) -> Iterator[Arrival]:
        return (Arrival(path) for path in self._files)

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing to do yet."""
