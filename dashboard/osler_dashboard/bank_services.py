"""What the knowledge page asks of the floors below: the banks of the workspace, their versions, and steps of review."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from osler.banks import BankStore, Step, tasks_with_banks
from osler.bottleneck.artefact import BANK
from osler.explain.service import model_names
from osler.files import file_stamp
from osler.passages import PassageFinder
from osler.workspace import Workspace
from osler_contracts.errors import OslerError
from osler_dashboard import services
from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import require_model_of
from osler_knowledge.concept import Citation, Concept
from osler_knowledge.in_place import InPlace
from osler_knowledge.review import Reviewer, notice, unless_changed

AROUND = 700  # characters shown on each side of a passage


def banks() -> list[str]:
    """Return the tasks that have a bank."""
    return tasks_with_banks(services.workspace())


def store(task: str) -> BankStore:
    """Return the bank of a task."""
    return BankStore(services.workspace(), task)


@st.cache_resource(max_entries=4, show_spinner=False)
def _finder(root: Path, task: str, proposed: int) -> PassageFinder:
    return PassageFinder(BankStore(Workspace.open(root), task))


def passage(task: str, citation: Citation) -> InPlace:
    """Return a passage with the text around it."""
    held = store(task)
    written = held.own_corpus.stat().st_mtime_ns if held.own_corpus.is_dir() else 0
    return _finder(held.workspace.root, task, written).place(citation, AROUND)


def review(task: str, seen: Concept, step: Step, who: Reviewer, action: str) -> ConceptBank:
    """Take one step on a concept as the reviewer saw it; on disk and audited when this returns.

    Raises:
        OslerError: As the step; `bank-mismatch` where somebody else has changed the concept since.
    """
    return store(task).change(unless_changed(seen, step), who, action, seen.id)


def models_on_another_version(bank: ConceptBank) -> dict[str, list[str]]:
    """Return what changed since models were fitted on another version of a bank, and the names of those models."""
    opened, found = services.workspace(), dict[str, list[str]]()
    for name in model_names(opened):
        try:
            held = ConceptBank.load(opened.models / name / BANK)
            if held.name == bank.name:
                require_model_of(held, bank)
        except OslerError as error:
            found.setdefault(error.message, []).append(name)
    return found


@st.cache_resource(max_entries=16, show_spinner=False)
def _notice(path: Path, written: tuple[object, ...]) -> str:
    return notice(ConceptBank.load(path))


def review_notice() -> str:
    """Return the line that every page carries until somebody has reviewed what the workspace knows."""
    try:
        told = [_notice(path, file_stamp(path)) for path in (store(task).path for task in banks())]
    except (OslerError, OSError):
        told = []  # a bank that cannot be read has been reviewed by nobody; its own page says what is wrong with it
    waiting = [one for one in told if one.startswith("Not clinically reviewed")]
    if told and not waiting:
        return ""
    return waiting[0] if len(waiting) == 1 else "Not clinically reviewed."
