"""From a hospital's own identifier to a patient's studies: the one page on which somebody is identified, and audited."""

from __future__ import annotations

import streamlit as st

from osler.access import Action
from osler_contracts.errors import OslerError
from osler_dashboard import pages, patient_services, services, session
from osler_dashboard.components import frame
from osler_dashboard.components.study_bar import STUDY
from osler_dashboard.words import slug, warning

FOUND, LONGEST, LONGEST_REASON = "patient_found", 64, 300
UNKNOWN = (
    "No study of this patient has arrived here, or the identifier is written in another way at the hospital. "
    "The look-up was noted all the same."
)


def ask() -> None:
    """Ask for an identifier and a reason."""
    with st.form("look_up", border=False, width=520):
        identifier = st.text_input(
            "Patient ID or accession number", max_chars=LONGEST, autocomplete="off", key="patient_identifier"
        )
        reason = st.text_input("Reason", max_chars=LONGEST_REASON, key="patient_reason")
        sent = st.form_submit_button("Look up", type="primary")
    frame.html(
        '<p class="o-quiet">Your name, the time and the reason are kept in the audit log; the identifier is not.</p>'
    )
    if not sent:
        return
    st.session_state.pop(FOUND, None)
    if not identifier.strip() or not reason.strip():
        st.warning("Give an identifier and a reason: each look-up is kept in the audit log.")
        return
    session.require(Action.LOOK_UP_PATIENT)
    try:
        st.session_state[FOUND] = patient_services.find(identifier, reason.strip())
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")


def found() -> None:
    """Draw the studies found, by the names that every other page has for them."""
    uids: list[str] | None = st.session_state.get(FOUND)
    if uids is None:
        return
    studies = services.studies()
    uids = [uid for uid in uids if uid in studies.records]
    if not uids:
        st.info(UNKNOWN)
        return
    frame.kicker(f"{len(uids)} {'study' if len(uids) == 1 else 'studies'}")
    for uid in uids:
        with st.container(horizontal=True, vertical_alignment="center"):
            record = studies.records[uid]
            if st.button(studies.names[uid], key=f"open-{slug(studies.names[uid])}", icon=":material/radiology:"):
                session.require(Action.VIEW_STUDIES)
                st.session_state[STUDY] = uid
                st.switch_page(pages.address("study"), query_params={"study": slug(studies.names[uid])})
            images = len(record.instances)
            told = [f"{images} {'image' if images == 1 else 'images'}", *(warning(code) for code in record.warnings)]
            st.caption(" · ".join(told))


def show() -> None:
    """Draw the page."""
    session.require(Action.LOOK_UP_PATIENT)
    try:
        held = patient_services.crosswalk()
    except OslerError as error:
        frame.nothing("Patients cannot be looked up now.", f"{error.message} {error.mend}")
        return
    if held is None:
        frame.nothing(
            "Nobody can be identified here.",
            "Osler keeps pseudonyms only, and this installation has no crosswalk that leads back to patients. "
            "Who looks after it can name one with `osler dashboard --crosswalk FILE`.",
        )
        return
    st.markdown("## Look up a patient")
    ask()
    found()


show()
