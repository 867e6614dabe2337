"""What the audit page asks of the log: its entries, and whether the chain between them holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from osler.access import Action
from osler.audit import Entry, Verification, entries, stamp, verify
from osler.workspace import Workspace
from osler_contracts.errors import OslerError
from osler_dashboard import services, session


@dataclass(frozen=True)
class Log:
    """The log as it was read.

    Attributes:
        entries: Entries, the newest first.
        check: What checking the chain found, None where it could not be checked.
        fault: What is wrong, empty where the log is whole.
    """

    entries: Sequence[Entry]
    check: Verification | None
    fault: str = ""


def log() -> Log:
    """Return the log, read and checked anew when it was written.

    Raises:
        OslerError: `not-allowed`, `session-expired`.
    """
    session.require(Action.READ_AUDIT)
    opened = services.workspace()
    return _log(opened.root, stamp(opened))


@st.cache_resource(max_entries=2, show_spinner="Checking the chain")
def _log(root: Path, stamps: tuple[object, ...]) -> Log:
    opened = Workspace.open(root)
    found = tuple(reversed(entries(opened)))
    try:
        check = verify(opened)
    except OslerError as error:
        return Log(found, None, error.message)
    fault = f"Entry {check.entry}: {check.fault}" if check.fault is not None else ""
    return Log(found, check, fault)
