"""What the pages ask of the floors below, held once for all readers: nothing in here changes with a session."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard.settings import WORKSPACE_VARIABLE


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
    return Workspace.open(Path(named))


def summary() -> dict[str, Any]:
    """Read the summary that a demonstration left, empty where there is none or it cannot be read."""
    try:
        return dict(json.loads(workspace().summary.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
