"""`osler doctor`: each part of an installation in one line, with what mends it. Nothing is changed and nothing downloaded."""

from __future__ import annotations

from pathlib import Path

from osler.doctor.check import Check, State
from osler.doctor.installation import examine_installation
from osler.doctor.machine import examine_machine

__all__ = ["Check", "State", "examine"]


def examine(workspace: Path, *, api: str | None = None, copies: Path | None = None) -> list[Check]:
    """Check every part.

    Args:
        workspace: Folder of the workspace, which need not exist.
        api: Address of a running HTTP API, to be asked too.
        copies: Folder of the workspace's copies; without it the audit log says when the last was made.
    """
    return [*examine_machine(workspace), *examine_installation(workspace, api=api, copies=copies)]
