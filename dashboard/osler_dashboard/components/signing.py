"""Who is signed in, the way out, and what is drawn when a session has ended: the page keeps what was being written."""

from __future__ import annotations

import streamlit as st

from osler.access import Person
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import session
from osler_dashboard.components import frame

EVERY = 30  # seconds between two looks whether the session has ended, so that nothing stays on an unattended screen
HOSPITAL = "hospital"
WAY_IN = "[Sign in](/sign-in)"


def account(person: Person) -> None:
    """Draw the name at the top right, and behind it the roles and the way out."""
    with (
        st.container(key="account"),
        st.popover(frame.plain(person.name), icon=":material/account_circle:", type="tertiary"),
    ):
        st.markdown(", ".join(sorted(person.roles)).capitalize())
        if st.button("Sign out", key="sign_out", icon=":material/logout:"):
            at_hospital = session.hospital_claims() is not None
            session.sign_out()
            if at_hospital:
                st.logout()
                st.stop()  # a page that is drawn anew at once would lose the way to the provider
            st.rerun()


@st.fragment(run_every=EVERY)
def watch() -> None:
    """Draw the page anew once its session has ended."""
    try:
        session.person()
    except OslerError:
        st.rerun()


def outside(error: OslerError) -> None:
    """Draw what a person sees who is not, or no longer, signed in."""
    if error.code not in (Code.SESSION_EXPIRED, Code.SIGN_IN_REFUSED):
        frame.nothing(error.message, error.mend)
        return
    holder = session.holder() if error.code is Code.SESSION_EXPIRED else None
    if holder is not None:
        session.keep_texts()
        _again(holder, error)
        return
    session.forget()
    _at_hospital(error)


def _again(holder: Person, error: OslerError) -> None:
    """Ask for the password of who was signed in."""
    frame.nothing(error.message, error.mend)
    with st.container(horizontal_alignment="center"), st.form("again", width=360):
        password = st.text_input(f"Password of {frame.plain(holder.name)}", type="password", key="$password")
        sent = st.form_submit_button("Go on", type="primary", width="stretch")
    if sent:
        try:
            session.renew(password)
        except OslerError as refused:
            st.warning(f"{refused.message} {refused.mend}")
        else:
            st.rerun()
    with st.container(horizontal_alignment="center"):
        st.markdown(WAY_IN.replace("Sign in", "Sign in as somebody else"), width="content")


def _at_hospital(error: OslerError) -> None:
    """Lead to the page to sign in; a log-in of the hospital that is over is given back first."""
    claims = session.hospital_claims()
    if session.gate().hospital is not None and claims is None and HOSPITAL in st.query_params:
        st.login()
        return
    frame.nothing(error.message if claims or session.number() else "You are not signed in.", "")
    with st.container(horizontal_alignment="center"):
        if claims is not None:
            if st.button("Sign in again", type="primary"):
                st.logout()
        else:
            st.markdown(WAY_IN, width="content")
