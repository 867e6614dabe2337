"""The list of signs for and against a finding, each with its exact contribution as a bar from a middle line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from osler_dashboard.components.assets import asset

CHOSEN = "chosen_concept"
FIRST, MOST = 8, 32


@dataclass(frozen=True)
class Sign:
    """One row of the list.

    Attributes:
        id: The concept.
        name: Its name as a reader says it.
        value: Contribution to the contrast; above 0 it speaks for the finding.
        before: Contribution before a correction or without the site's patch, None where neither changed it.
        note: What was seen, in words.
        text: The contribution as text.
        corrected: Whether the reader set it.
        masked: Whether it is ignored at this site.
        answered: Whether the reader said anything of it.
        answer: What the reader said, empty where nothing.
    """

    id: str
    name: str
    value: float
    before: float | None
    note: str
    text: str
    corrected: bool = False
    masked: bool = False
    answered: bool = False
    answer: str = ""


def _take() -> None:
    chosen = st.session_state["evidence"].get("chosen")
    if chosen:
        st.session_state[CHOSEN] = chosen


def _nothing() -> None:
    """Take no notice: a browser may send what this page did not offer."""


def answered() -> tuple[str, str] | None:
    """Return the sign that the reader answers in this run of the script, and the answer; an empty one takes it back."""
    told = st.session_state["evidence"].get("answered")
    try:
        return str(told["sign"]), str(told["answer"])
    except (TypeError, KeyError):
        return None


def evidence(
    signs: Sequence[Sign],
    *,
    study: str,
    finding: str,
    runner_up: str,
    total: str,
    dashed: str,
    selected: str | None,
    on_answered: Callable[[], None] | None = None,
) -> None:
    """Draw the list; a click stores the concept in the session under `CHOSEN`.

    Args:
        signs: Rows, strongest first; at most `MOST` are drawn.
        study: Readable name of the study, by which the list knows that another was opened.
        finding: What a bar to the right speaks for.
        runner_up: What a bar to the left speaks for.
        total: The sum, in words.
        dashed: What a dashed outline stands for, empty where there is none.
        selected: The chosen concept.
        on_answered: Called when the reader answers a row by its letter; `answered` then says how. None where this reader
            may not answer.
    """
    shown = signs[:MOST]
    largest = max((abs(value) for sign in shown for value in (sign.value, sign.before or 0.0)), default=0.0)
    script = asset("shelf.js") + asset("element.js") + asset("evidence.js")
    mount = st.components.v2.component(
        "osler_evidence", html=asset("evidence.html"), css=asset("evidence.css"), js=script
    )
    mount(
        key="evidence",
        on_chosen_change=_take,
        on_answered_change=on_answered or _nothing,
        data={
            "study": study,
            "finding": finding,
            "runner_up": runner_up,
            "sum": total,
            "dashed": dashed,
            "selected": selected,
            "first": FIRST,
            "answerable": on_answered is not None,
            "largest": largest or 1.0,
            "rows": [asdict(sign) for sign in shown],
        },
    )
