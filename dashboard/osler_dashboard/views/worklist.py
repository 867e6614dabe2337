"""The clinician's first page: every study with finding, uncertainty, warnings and state of review. Nothing says what is urgent."""

from __future__ import annotations

import streamlit as st

from osler.access import Action
from osler.feedback import read_drafts
from osler_contracts.errors import OslerError
from osler_dashboard import services, session
from osler_dashboard.components import frame
from osler_dashboard.components.study_bar import QUEUE, STUDY
from osler_dashboard.components.worklist import opened, worklist
from osler_dashboard.pages import address
from osler_dashboard.roll import Roll
from osler_dashboard.services import Studies

_OPEN = "open-study"


def _take(found: Studies) -> None:
    told = opened(len(found.records))
    uids = list(found.records)
    uid = None if told is None else next((one for one, name in found.names.items() if name == told[0]), None)
    if uid is not None and told is not None:
        st.session_state[QUEUE] = [uids[row] for row in told[1]]
        st.session_state[STUDY] = st.session_state[_OPEN] = uid


@st.fragment(run_every=3)
def _await(roll: Roll) -> None:
    """Say how far the reading is, and draw the page once more when all is read."""
    if roll.complete:
        st.rerun()
    done, of = roll.progress
    frame.html(f'<p class="o-quiet" role="status">The model is reading the studies: {done} of {of}.</p>')


def show() -> None:
    """Draw the page."""
    who = session.require(Action.VIEW_STUDIES)
    found = services.studies()
    if not found.records:
        frame.nothing("No study has arrived yet.", "Take a folder in with `osler ingest FOLDER --site NAME`.")
        return
    if st.session_state.pop(_OPEN, None):
        st.switch_page(address("study"))
    try:
        roll = services.roll(found)
    except OslerError as error:
        frame.nothing(error.message, error.mend)
        return
    with st.container():  # always there: the list below keeps its place, and with it the reader's
        if not roll.complete:
            _await(roll)
    concluded, refused, reviewed = roll.conclusions(), roll.refused(), services.reviews()
    begun = read_drafts(services.workspace(), who.name)
    held = services.rows(found)
    rows = [
        held.row((study, found.names[uid], concluded.get(uid), refused.get(uid), reviewed.get(uid), uid in begun))
        for uid, study in found.records.items()
    ]
    worklist(rows, on_opened=lambda: _take(found))


show()
