"""The Shift lab, for researchers: the experiments of the tracker, how each method fares away from home, and two compared."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from osler.access import Action
from osler_contracts.errors import OslerError
from osler_dashboard import lab_services, services, session
from osler_dashboard.components import frame
from osler_dashboard.components.assets import asset
from osler_dashboard.components.demonstration import demonstration
from osler_dashboard.words import day
from osler_training.experiments.tracked import Tracked

DEMONSTRATION = "demonstration"
KINDS = {"shift": "between sites", "adaptation-bench": "adaptation bench"}
COMPARED = "Compare"


def _named(one: Tracked) -> str:
    finished = "" if one.finished else " · not finished"
    cells = f"{len(one.cells)} cell{'' if len(one.cells) == 1 else 's'}"
    return f"{one.name} · {KINDS[one.kind]} · {day(one.started[:10])}, {one.started[11:16]} UTC · {cells}{finished}"


def _names(found: Iterable[Tracked]) -> dict[str, str]:
    """Return what each experiment is called by its id; runs of one minute are counted, since a choice is known by its name."""
    names: dict[str, str] = {}
    for one in found:
        name = _named(one)
        same = sum(held == name or held.startswith(f"{name} · no. ") for held in names.values())
        names[one.id] = f"{name} · no. {same + 1}" if same else name
    return names


def _experiment(one: Tracked, others: list[Tracked]) -> None:
    """Draw one experiment: a view at a time, since a large one has many drawings."""
    views = lab_services.views(one)
    rivals = [other for other in others if other.id != one.id and other.kind == one.kind == "shift"]
    titles = [*views, *([COMPARED] if rivals else [])]
    chosen = st.segmented_control("View", titles, default=titles[0], label_visibility="collapsed", key=f"view-{one.id}")
    if chosen == COMPARED:
        names = _names(rivals)
        chosen = st.selectbox("Compare with", list(names), format_func=names.__getitem__, key="compared")
        _html(lab_services.comparison(one, next(other for other in rivals if other.id == chosen)))
        return
    for kind, text in views[chosen or titles[0]]():
        if kind == "svg":
            st.image(lab_services.themed(text, st.context.theme.type == "dark"))
        else:
            _html(text)


def _html(text: str) -> None:
    frame.html(f'<div class="o-lab">{text}</div>')


def show() -> None:
    """Draw the page."""
    session.require(Action.VIEW_RESULTS)
    frame.html(f"<style>{asset('lab.css')}</style>")
    results = list(services.summary().get("results") or [])
    found = {one.id: one for one in lab_services.tracked()}
    names = _names(found.values()) | ({DEMONSTRATION: "Demonstration · phantoms"} if results else {})
    if not names:
        frame.nothing(
            "There are no experiments here yet.",
            "Run `osler shift run RECIPE --workspace DIR` or `osler adapt bench`; `osler demo` shows what they look like.",
        )
        return
    st.markdown("## Shift lab")
    chosen = st.selectbox("Experiment", list(names), format_func=names.__getitem__, key="experiment")
    with st.container(key="lab"):
        if chosen == DEMONSTRATION:
            demonstration(results)
            return
        try:
            _experiment(found[chosen], list(found.values()))
        except OslerError as error:
            frame.nothing(error.message, error.mend)


show()
