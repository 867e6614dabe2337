"""A study, for a clinician: images, finding, signs for and against, the text behind each, and the reader's word on it."""

from __future__ import annotations

import streamlit as st

from osler.access import Action
from osler.archive import StudyRecord
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import desk, services, session
from osler_dashboard.components import frame
from osler_dashboard.components.beside import beside
from osler_dashboard.components.judge import judge
from osler_dashboard.components.pictures import notes, pictures
from osler_dashboard.components.sign_off import sign_off
from osler_dashboard.components.study_bar import STUDY, study_bar
from osler_dashboard.pages import address
from osler_dashboard.services import Studies
from osler_dashboard.words import REASONS, slug

NO_FRONTAL = (
    "This study has no frontal image.",
    "The model reads frontal radiographs; the images are shown as they are.",
)


def opened(found: Studies) -> str | None:
    """Return the study to show: the one the session opened or the address names, else the first; None where it is gone."""
    wanted = st.query_params.get("study")
    held = st.session_state.get(STUDY)
    if wanted and (held is None or slug(found.names.get(held, "")) != wanted):
        held = found.by_slug.get(wanted)
    elif held is None:
        held = next(iter(found.records))
    if held is None or held not in found.records:
        return None
    st.session_state[STUDY] = held
    st.query_params["study"] = slug(found.names[held])
    return held


def _gone() -> None:
    frame.nothing(
        "There is no study of this name here.",
        "It may have been deleted, or the address is an old one. Nothing you saved is lost.",
    )
    with st.container(horizontal=True, horizontal_alignment="center"):
        if st.button("Open the worklist", type="primary"):
            st.session_state.pop(STUDY, None)
            st.query_params.clear()
            st.switch_page(address("worklist"))


@st.fragment
def _judging(study: StudyRecord, name: str) -> None:
    """Draw the reading side; an answer draws it alone anew, so that it moves at once."""
    try:
        own = desk.open_desk(study)
        judge(study, name, own, lambda: sign_off(study, name, own))
    except OslerError as error:
        if error.code in (Code.SESSION_EXPIRED, Code.NOT_ALLOWED):
            st.rerun()  # the frame of the page asks to log in again; what was answered waits
        _without_explanation(error)


@st.fragment(run_every=3)
def _await(found: Studies, site: str) -> None:
    """Draw the page once more when what stands around this site's studies has been measured."""
    if services.roll(found).ready(site):
        st.rerun()
    frame.html('<p class="o-quiet" role="status">Comparing with the other studies of this hospital …</p>')


def _without_explanation(error: OslerError) -> None:
    """Say why a study is not explained, in words that name no identifier."""
    if error.code is Code.NOTHING_ELIGIBLE:
        frame.nothing(*NO_FRONTAL)
    elif error.code in REASONS:
        frame.nothing("This study cannot be explained: its image cannot be read.", error.mend)
    else:
        frame.nothing(error.message, error.mend)


def _mapped(study: StudyRecord) -> tuple[str, ...]:
    """Return the signs of which a map may be shown."""
    try:
        return tuple(one.id for one in services.explain(study).concepts if one.location == "validated")
    except OslerError:
        return ()


def show() -> None:
    """Draw the page."""
    session.require(Action.VIEW_STUDIES)
    found = services.studies()
    if not found.records:
        frame.nothing("No study has arrived yet.", "Take a folder in with `osler ingest FOLDER --site NAME`.")
        return
    services.explainer()
    uid = opened(found)
    if uid is None:
        _gone()
        return
    study, name = found.records[uid], found.names[uid]
    desk.opening(uid)
    session.record_once("study.view", subject=uid)
    study_bar(found, study)
    with st.container(key="room"):
        left, right = st.columns([11, 16], gap="medium")
    with left:
        pictures(study, name, found, _mapped(study))
        notes(study)
    with right:
        _judging(study, name)
    if services.roll(found).ready(study.site):
        beside(study, found)
    else:
        _await(found, study.site)


show()
