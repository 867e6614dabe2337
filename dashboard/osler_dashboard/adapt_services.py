"""What the adaptation page asks of the floors below: how far concepts moved, who may be chosen, a proposal, a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from osler.adapt.adapters import RECOMMENDED, adapter_names, parse_adapter
from osler.adapt.in_force import put_in_force, take_out_of_force
from osler.adapt.moved import Moved
from osler.adapt.patch import SitePatch
from osler.adapt.proposal import Proposal, keep, propose, site_moved, track
from osler.adapt.support import draw_support
from osler.archive import StudyRecord
from osler.archive.label_column import choose_column, class_of
from osler.explain.service import StudyExplainer, model_names
from osler.tracking import open_tracker
from osler_contracts.errors import OslerError
from osler_dashboard import services

MAX_SHOTS = 16


def models() -> list[str]:
    """Return the models of the workspace, the one shown first."""
    shown = services.model_name(services.workspace())
    return [shown, *(name for name in model_names(services.workspace()) if name != shown)]


def adapters() -> list[str]:
    """Return the adapters, the recommended one first."""
    return [RECOMMENDED, *(name for name in adapter_names() if name != RECOMMENDED)]


def moved(site: str, model: str) -> tuple[Moved, ...]:
    """Return how far each concept went at a site, the farthest first.

    Raises:
        OslerError: `nothing-eligible` where the site has no image that the model reads.
    """
    held = services.explainer_of(model)
    return _moved(held.workspace.root, held.pipeline.digest, site, tuple(sorted(services.studies().records)), held)


@st.cache_resource(max_entries=8, show_spinner="Reading the studies of this site")
def _moved(root: Path, model: str, site: str, uids: tuple[str, ...], _explainer: StudyExplainer) -> tuple[Moved, ...]:
    return site_moved(_explainer, site)


@dataclass(frozen=True)
class Choice:
    """The studies of a site that may be chosen for each class.

    Attributes:
        names: Readable name by study, those of the site that the model reads.
        labels: Class by study, for those that came with one.
    """

    names: Mapping[str, str]
    labels: Mapping[str, str]

    def of(self, name: str) -> list[str]:
        """Return the studies that may be of a class: labelled so, or not labelled at all."""
        return [uid for uid in self.names if self.labels.get(uid, name) == name]

    def count(self, name: str) -> int:
        """Return how many came labelled so."""
        return sum(label == name for label in self.labels.values())


def choice(site: str, model: str) -> Choice:
    """Return who may be chosen at a site."""
    held, found = services.explainer_of(model), services.studies()
    studies = [one for one in found.records.values() if one.site == site and held.archive.image(one) is not None]
    classes = held.pipeline.classes
    column = _column(studies, classes)
    places = {} if column is None else {one.uid: class_of(one.labels.get(column), classes, {}) for one in studies}
    return Choice(
        {one.uid: found.names[one.uid] for one in studies},
        {uid: classes[place] for uid, place in places.items() if place >= 0},
    )


def drawn(site: str, model: str, shots: int, seed: int) -> dict[str, str]:
    """Draw labelled studies, of as many patients; none where the site has no labels."""
    held = services.explainer_of(model)
    classes = held.pipeline.classes
    column = _column([one for one in services.studies().records.values() if one.site == site], classes)
    if column is None:
        return {}
    return draw_support(held.archive, site, label=column, classes=classes, shots=shots, seed=seed)


def _column(studies: list[StudyRecord], classes: tuple[str, ...]) -> str | None:
    try:
        return choose_column(studies, classes, {}, None)
    except OslerError:  # a site without labels: they are given by hand
        return None


def proposal(
    site: str, model: str, adapter: str, chosen: Mapping[str, str], *, created: date, expires: date, author: str
) -> Proposal:
    """Fit a patch; nothing is written.

    Raises:
        OslerError: as `osler.adapt.proposal.propose`.
    """
    held = services.explainer_of(model)
    return propose(
        held,
        parse_adapter(adapter),
        site,
        chosen,
        created=created.isoformat(),
        expires=expires.isoformat(),
        author=author,
    )


def decide(
    proposed: Proposal, model: str, chosen: Mapping[str, str], *, accepted: bool, on: date, actor: str, why: str
) -> SitePatch:
    """Keep a proposal, put it in force or decline it, and log it to the tracker.

    Raises:
        OslerError: as `osler.adapt.in_force.put_in_force`.
    """
    held = services.explainer_of(model)
    keep(held, proposed, chosen, actor)
    track(open_tracker(held.workspace), proposed, model)
    day, note = on.isoformat(), f"{actor}: {why}"
    if proposed.patch.changes_nothing:
        return proposed.patch
    if accepted:
        return put_in_force(held.workspace, proposed.patch, on=day, actor=actor, note=note)
    return take_out_of_force(held.workspace, proposed.patch, on=day, actor=actor, note=f"declined by {note}")


def switch(patch: SitePatch, status: str, *, on: date, actor: str, why: str) -> None:
    """Put a patch in force or out of it; the change stays in its history and in the audit log.

    Raises:
        OslerError: as `osler.adapt.in_force.put_in_force`.
    """
    change: Any = put_in_force if status == "active" else take_out_of_force
    change(services.workspace(), patch, on=on.isoformat(), actor=actor, note=f"{actor}: {why}")
