"""Which study was being explained when the process ended: one that ends it each time must not do so for ever.

Decoding at the gate has processes of its own; explaining has not, since it holds the model. So the study's name lies on
disk meanwhile, and a start that finds one counts it as an attempt that failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from osler.files import write_atomically
from osler.watch.status import FOLDER
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

FILE = "explaining"


class Marker:
    """The marker of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.root / FOLDER / FILE

    @contextmanager
    def at(self, uid: str) -> Iterator[None]:
        """Name a study for the length of the block.

        Raises:
            OslerError: `disk-full` and the like.
        """
        try:
            write_atomically(self._path, uid.encode())
            yield
        except OSError as error:
            raise from_os_error(error) from None
        finally:
            self._path.unlink(missing_ok=True)

    def left(self) -> str | None:
        """Return the study that a process which is no more was at, and forget it."""
        if not self._path.is_file():
            return None
        uid = self._path.read_text(encoding="ascii", errors="replace").strip()
        self._path.unlink(missing_ok=True)
        return uid or None
