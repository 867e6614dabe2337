"""The list of studies: filtered, sorted, searched and opened by keyboard in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from osler_dashboard.components.assets import asset

KEY = "worklist"


@dataclass(frozen=True)
class Line:
    """One study in the list.

    Attributes:
        name: Readable name.
        finding: What the model found, or why it found nothing.
        share: Its probability, None where there is none.
        percent: The same as text.
        sure: How sure that is at the site, in words.
        sure_kind: `one`, `several`, `unknown` or `none`.
        sure_note: The same in a sentence.
        warned: Warnings, in words.
        state: State of review, in words.
        state_kind: `open`, `begun` or `signed`.
        state_note: By whom and when.
        date: Shifted date as text.
        day: The same as digits, to sort by.
        site: Name of the site.
    """

    name: str
    finding: str
    share: float | None
    percent: str
    sure: str
    sure_kind: str
    sure_note: str
    warned: tuple[str, ...]
    state: str
    state_kind: str
    state_note: str
    date: str
    day: str
    site: str


def worklist(rows: Sequence[bytes], on_opened: Callable[[], None]) -> None:
    """Draw the list.

    Args:
        rows: The studies, each a `Line` as a JSON object.
        on_opened: Called when one is opened; `opened` then says which.
    """
    script = asset("element.js") + asset("worklist.js")
    mount = st.components.v2.component(
        "osler_worklist", html=asset("worklist.html"), css=asset("worklist.css"), js=script
    )
    mount(key=KEY, on_opened_change=on_opened, data=b'{"rows":[' + b",".join(rows) + b"]}")


def opened(count: int) -> tuple[str, list[int]] | None:
    """Return the name of the study that is opened in this run, and the rows of the list as they were filtered and sorted.

    Args:
        count: Number of rows that the list has; others than these are passed over.
    """
    told = st.session_state.get(KEY, {}).get("opened")
    try:
        return str(told["name"]), [row for row in map(int, told["order"]) if 0 <= row < count]
    except (TypeError, KeyError, ValueError):
        return None
