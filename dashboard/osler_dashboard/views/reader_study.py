"""Reader studies: one case at a time for who reads, progress and results for who runs them."""

from __future__ import annotations

from html import escape

import streamlit as st

from osler.access import Action
from osler.reader_study.study import ReaderStudy, Turn
from osler_dashboard import reader_services, session
from osler_dashboard.components import frame
from osler_dashboard.components.assets import asset
from osler_dashboard.components.case import ON, case, leave
from osler_dashboard.components.study_runner import running
from osler_dashboard.words import day

READ, RUN = "Read", "Run"


def reading(studies: dict[str, ReaderStudy], who: str) -> None:
    """Draw what a reader has to do: the case that is open, else the studies to begin or go on with."""
    held = st.session_state.get(ON)
    if held in studies:
        turn = studies[held].turn(who)
        if turn.reading is not None:
            case(studies[held], turn, turn.reading)
            return
        leave()
    for name, study in studies.items():
        _offer(name, study, study.turn(who))


def _offer(name: str, study: ReaderStudy, turn: Turn) -> None:
    """Draw a study as a card: what is asked, what is told of the advice, and the button."""
    protocol = study.protocol
    with st.container(border=True, key=f"offer-{name}"):
        frame.html(
            f'<h3 class="o-ask">{escape(protocol.title)}</h3><p>{escape(protocol.told)}</p>'
            f'<p class="o-quiet">{turn.done} of {turn.of} cases read. The time of each reading is noted; you may pause '
            "between cases. An answer cannot be changed afterwards. Please do not open these studies on other pages.</p>"
        )
        if turn.reading is not None:
            if st.button("Go on" if turn.done else "Begin", type="primary", key=f"begin-{name}"):
                session.require(Action.TAKE_PART)
                st.session_state[ON] = name
                st.rerun()
        elif turn.until is not None:
            frame.html(
                f'<p role="status"><b>That is all for now.</b> The next cases can be read from '
                f"{day(turn.until.date().isoformat())} on: you see each study more than once, and are to have forgotten it.</p>"
            )
        else:
            frame.html('<p role="status"><b>You have read all your cases. Thank you.</b></p>')


def show() -> None:
    """Draw the page."""
    frame.html(f"<style>{asset('reading.css')}</style>")
    who, found = session.person(), reader_services.studies()
    mine = {name: one for name, one in found.items() if who.may(Action.TAKE_PART) and one.takes_part(who.name)}
    runs = who.may(Action.RUN_READER_STUDY)
    if st.session_state.get(ON) not in mine:
        st.markdown("## Reader study")
        choice = READ if mine else RUN
        if mine and runs:
            choice = st.segmented_control("View", [READ, RUN], default=READ, label_visibility="collapsed") or READ
        if runs and choice == RUN:
            running(found)
            return
    if not mine:
        frame.nothing(
            "You are not a reader of any study here.", "Who runs a study adds you by the name of your account."
        )
        return
    reading(mine, who.name)


show()
