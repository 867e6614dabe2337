"""A sign of life on disk, for `osler watch status`, the dashboard and `osler doctor`: it needs no database."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

FOLDER, FILE = "watch", "status.json"
LATE_S = 300.0  # without a sign of life, beyond what it said itself: a first turn loads the model


@dataclass(frozen=True)
class Beat:
    """A sign of life.

    Attributes:
        state: `working`, `waiting` for news, `paused` for what is wrong with all studies, or `stopped`.
        at: When, seconds since 1970.
        next: When the next one is due at the latest.
        started: When the watch began.
        pid: Its process.
        feed: What it follows.
        code: Why it pauses; empty where it does not.
        reason: The same in words.
        pauses: Pauses in a row.
        counts: Studies by stage, as far as they were known last.
    """

    state: str
    at: float
    next: float
    started: float
    pid: int
    feed: str
    code: str = ""
    reason: str = ""
    pauses: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def overdue(self) -> bool:
        """Whether nothing was heard for longer than it said: it hangs, or was killed."""
        return self.state != "stopped" and time.time() > self.next + LATE_S

    @property
    def alive(self) -> bool:
        """Whether its process runs, as far as this machine can tell, and it is not overdue."""
        if self.state == "stopped" or self.overdue:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is there, and somebody else's
            pass
        return True


def write_beat(workspace: Workspace, beat: Beat) -> None:
    """Leave a sign of life.

    Raises:
        OslerError: `disk-full` and the like.
    """
    try:
        write_atomically(workspace.root / FOLDER / FILE, (json.dumps(asdict(beat), indent=1) + "\n").encode())
    except OSError as error:
        raise from_os_error(error) from None


def read_beat(workspace: Workspace) -> Beat | None:
    """Return the last sign of life, None where there never was one or it cannot be read."""
    try:
        values: dict[str, Any] = json.loads((workspace.root / FOLDER / FILE).read_bytes())
        return Beat(**values)
    except (OSError, ValueError, TypeError):
        return None
