"""The workspace that the command named, looked at once for a page rather than at each of its forty questions."""

from __future__ import annotations

import os
import time
from pathlib import Path

from osler.workspace import MARKER, Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard.settings import WORKSPACE_VARIABLE

HELD_S = 2.0  # no longer, so that a folder that was cleared away is made again
_held: dict[str, tuple[float, Workspace]] = {}


def workspace() -> Workspace:
    """Open the workspace that the command named.

    Raises:
        OslerError: `workspace-invalid`.
    """
    named = os.environ.get(WORKSPACE_VARIABLE)
    if not named:
        raise OslerError(
            Code.WORKSPACE_INVALID,
            "No workspace is open.",
            "Start the dashboard with `osler dashboard --workspace DIR`.",
        )
    found = _held.get(named)
    if found is None or time.monotonic() - found[0] > HELD_S or not (found[1].root / MARKER).is_file():
        found = _held[named] = (time.monotonic(), Workspace.open(Path(named)))
    return found[1]
