"""What the reader-study page asks of the floors below."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import streamlit as st

from osler.files import file_stamp
from osler.reader_study import FOLDER, READINGS
from osler.reader_study.protocol import Protocol, parse_protocol
from osler.reader_study.results import Measure, arms_table, measures, readings_table
from osler.reader_study.study import PLAN, ReaderStudy, start, study_names
from osler.workspace import Workspace
from osler_contracts.errors import OslerError
from osler_dashboard import services

__all__ = ["Export", "Progress", "export", "parse_protocol", "progress", "start_study", "studies", "unreadable"]


def studies() -> dict[str, ReaderStudy]:
    """Return the studies that can be read, by name."""
    found = {}
    for name in study_names(services.workspace()):
        try:
            found[name] = _study(name)
        except OslerError:
            continue
    return found


def unreadable() -> list[str]:
    """Return the names of studies whose folder is damaged."""
    readable = studies()
    return [name for name in study_names(services.workspace()) if name not in readable]


def _study(name: str) -> ReaderStudy:
    opened = services.workspace()
    return _loaded(opened.root, name, file_stamp(opened.feedback / FOLDER / name / PLAN))


@st.cache_resource(max_entries=16, show_spinner=False)
def _loaded(root: Path, name: str, written: tuple[object, ...]) -> ReaderStudy:
    return ReaderStudy.load(Workspace.open(root), name)


def start_study(protocol: Protocol) -> ReaderStudy:
    """Start a study.

    Raises:
        OslerError: As `osler.reader_study.study.start`.
    """
    return start(services.workspace(), protocol)


@dataclass(frozen=True)
class Progress:
    """How far a reader is: readings done and in all, and when the reader may go on, where the washout keeps waiting."""

    reader: str
    done: int
    of: int
    until: datetime | None


def progress(study: ReaderStudy) -> list[Progress]:
    """Return how far each reader is."""
    turns = {name: study.turn(name) for name in study.protocol.readers}
    return [Progress(name, one.done, one.of, one.until) for name, one in turns.items()]


@dataclass(frozen=True)
class Export:
    """The figures of a study by arm, and its tables as files."""

    measures: list[Measure]
    readings_csv: bytes
    arms_csv: bytes


def export(study: ReaderStudy) -> Export:
    """Return the tables of a study as they are now, drawn again when a reading was added.

    Raises:
        OslerError: `nothing-eligible` where nobody has answered.
    """
    return _export(study.folder, file_stamp(study.folder / PLAN, study.folder / READINGS), study)


@st.cache_resource(max_entries=4, show_spinner="Drawing readers and patients again")
def _export(folder: Path, written: tuple[object, ...], _study: ReaderStudy) -> Export:
    found = measures(_study)
    return Export(found, readings_table(_study), arms_table(found))
