"""Files held back at the door: why each, and a person's decision to let it in or to delete it."""

from __future__ import annotations

from html import escape

import streamlit as st

from osler.access import Action
from osler.archive.quarantine import Reason
from osler.ingest.release import MAX_REASON, Decision
from osler_contracts.errors import OslerError
from osler_dashboard import session, site_services
from osler_dashboard.components import frame
from osler_dashboard.words import day, reason, sentence, spoken

CHOSEN, TOLD = "held_back", "held_back_told"
DONE = {
    "accepted": "The file is in the archive now; its study says that it was released.",
    "discarded": "The file is deleted; that it came stays noted.",
    "duplicate": "The same image is in the archive already, so the file was dropped.",
    "gone": "Somebody else has decided on this file meanwhile.",
}


def draw(site: str) -> None:
    """Draw the files of a site that wait for a decision, and those that no decision can let in."""
    frame.kicker("Held back")
    if told := st.session_state.pop(TOLD, None):
        st.info(told)
    try:
        files = site_services.held_back(site)
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    if not files:
        frame.html('<p class="o-quiet">No file is held back.</p>')
        return
    waiting = sum(one.releasable for one in files)
    frame.html(
        f'<p class="o-quiet">{waiting} of {len(files)} wait for a decision; the others cannot enter as they are.</p>'
    )
    by_hash = {one.sha256: one for one in files}
    key = f"{CHOSEN}-{site}"
    if st.session_state.get(key) not in by_hash:
        st.session_state[key] = files[0].sha256
    chosen = by_hash[st.selectbox("File", list(by_hash), format_func=lambda one: _label(by_hash[one]), key=key)]
    frame.html(_facts(chosen))
    if session.allowed(Action.RELEASE):
        _decide(chosen)


def _label(file: Reason) -> str:
    when = f", {day(file.first_seen[:10])}" if file.first_seen else ""
    return f"{sentence(reason(file.code))}{when} ({file.sha256[:8]})"


def _facts(file: Reason) -> str:
    rows = [("Why", file.detail or sentence(reason(file.code))), ("What mends it", file.mend)]
    rows += [("Also", ", ".join(reason(code) for code in file.also)), ("Judged as", spoken(file.contract))]
    often = "once" if file.times == 1 else f"{file.times} times, the last"
    rows += [("Received", f"{often} on {day(file.last_seen[:10])}" if file.last_seen else "")]
    cells = "".join(f"<i>{escape(name)}</i><span>{escape(value)}</span>" for name, value in rows if value)
    return f'<div class="o-facts">{cells}</div>'


def _decide(file: Reason) -> None:
    with st.form("held_back_decide", border=False, clear_on_submit=True):
        why = st.text_input(
            "Reason",
            max_chars=MAX_REASON,
            key="held_back_why",
            help="Kept in the audit log; nothing that names a patient",
        )
        first, second = st.columns(2)
        let_in = first.form_submit_button(
            "Let it in", type="primary", width="stretch", disabled=not file.releasable, help=_help(file)
        )
        delete = second.form_submit_button("Delete for good", width="stretch")
    if not let_in and not delete:
        return
    if not why.strip():
        st.warning("Give a reason: it is kept in the audit log.")
        return
    session.require(Action.RELEASE)
    try:
        with st.spinner("Taking the file in"):
            step = site_services.let_in if let_in else site_services.throw_away
            st.session_state[TOLD] = _told(step(file, why.strip()))
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    st.rerun()


def _help(file: Reason) -> str:
    if file.releasable:
        return "It is de-identified and archived as any other file, and marked as released"
    return "The file could not be read" if not file.kept else "It cannot enter as it is"


def _told(decision: Decision) -> str:
    if decision.outcome in DONE:
        return DONE[decision.outcome]
    return f"The file stays: {reason(decision.code) if decision.code else 'something else speaks against it'}."
