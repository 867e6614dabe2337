"""The parts of the installation, as `osler doctor` finds them: what is missing, and what mends it."""

from __future__ import annotations

from html import escape

import streamlit as st

from osler.doctor import Check, State
from osler_dashboard import site_services
from osler_dashboard.components import frame

SIGNS = {State.OK: ("✓", "for"), State.WARN: ("!", "against"), State.FAIL: ("✗", "against")}
OPEN = "examined"


def draw() -> None:
    """Offer the examination, and draw what it found."""
    frame.kicker("The installation")
    if st.button("Examine", key="examine", icon=":material/stethoscope:"):
        st.session_state[OPEN] = True
    if not st.session_state.get(OPEN):
        frame.html('<p class="o-quiet">Checks libraries, decoders, disk, workspace and tracker; changes nothing.</p>')
        return
    found = site_services.checks()
    wrong = [one for one in found if one.state is not State.OK]
    frame.html(f"<p>{len(found) - len(wrong)} of {len(found)} parts are well.</p>")
    if wrong:
        frame.html(_table(wrong))
    with st.expander(f"All {len(found)} parts"):
        frame.html(_table(found))


def _table(checks: list[Check]) -> str:
    rows = ""
    for one in checks:
        sign, tone = SIGNS[one.state]
        told = f"{one.found}. {one.mend}".rstrip(". ") + "."
        rows += (
            f'<tr><td class="o-{tone}" title="{escape(str(one.state))}"><b>{sign}</b></td><td>{escape(one.part)}</td>'
            f'<td class="o-quiet">{escape(told)}</td></tr>'
        )
    return f'<table class="o-table o-compact"><tbody>{rows}</tbody></table>'
