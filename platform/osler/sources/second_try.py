"""What failed to arrive has a reason in the quarantine; when it does arrive, that reason has nothing more to say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from osler.archive.quarantine import Quarantine
from osler.ingest.tasks import unread
from osler.workspace import Workspace


def forget_failures(workspace: Workspace, paths: Iterable[Path]) -> None:
    """Drop the reasons that earlier runs left for arrivals that they got nothing of, by the path of their spool."""
    quarantine = Quarantine(workspace.quarantine)
    for path in paths:
        quarantine.release(unread(path).sha256)
