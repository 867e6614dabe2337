"""Who is at the page, and whether they may: asked by `app` before a page is drawn, and by every action once more.

A browser holds a random number in a cookie that scripts cannot read; the server holds whose it is. The number is kept with
the state of the page, which a browser cannot write.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import streamlit as st

from osler import audit
from osler.access import Action, Person, require_action
from osler.access.gate import Gate
from osler.access.hospital import load_hospital
from osler.access.sessions import IDLE, LONGEST
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import opened
from osler_dashboard.settings import COOKIE, IDLE_VARIABLE, LONGEST_VARIABLE

NUMBER, TOLD = "session_number", "session_told"
_gates: dict[Path, Gate] = {}
_making = threading.Lock()


def gate() -> Gate:
    """Return the gate of the workspace that the command named, one for all readers.

    Raises:
        OslerError: `workspace-invalid`; `access-invalid` where the file of the hospital's log-in is not valid.
    """
    workspace = opened.workspace()
    with _making:
        if workspace.root not in _gates:
            _gates[workspace.root] = Gate(
                workspace,
                hospital=load_hospital(workspace),
                idle=_minutes(IDLE_VARIABLE, IDLE),
                longest=_minutes(LONGEST_VARIABLE, LONGEST),
            )
        return _gates[workspace.root]


def _minutes(variable: str, usual: float) -> float:
    """Return the seconds that a variable gives in minutes.

    Raises:
        OslerError: `access-invalid` where it gives something else.
    """
    text = os.environ.get(variable)
    if not text:
        return usual
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise OslerError(Code.ACCESS_INVALID, f"{variable} is not a number of minutes.", "Give a whole one, from 1 on.")
    return 60.0 * int(text)


def number() -> str | None:
    """Return the number of this page's session, None where the browser holds none."""
    claims = hospital_claims()
    if claims is not None:
        return gate().hospital_session(claims)
    if NUMBER not in st.session_state:
        cookie = st.context.cookies.to_dict().get(cookie_name())
        if not cookie:
            return None
        st.session_state[NUMBER] = cookie
    return str(st.session_state[NUMBER])


def hospital_claims() -> dict[str, object] | None:
    """Return the claims of the hospital's log-in that Streamlit has verified, None where there are none."""
    # Where no log-in is set up, `st.user` has no `is_logged_in` at all.
    if gate().hospital is None or not getattr(st.user, "is_logged_in", False):
        return None
    return dict(st.user.to_dict())


def cookie_name() -> str:
    """Return the name of the cookie: browsers share cookies among the ports of one machine."""
    return f"{COOKIE}_{st.get_option('server.port')}"


def begin() -> Person:
    """Return who is at the page; called once at the start of each run, which counts as a step.

    Raises:
        OslerError: `session-expired` where nobody is signed in any more; `sign-in-refused`.
    """
    return gate().person(number())


def person() -> Person:
    """Return who is at the page.

    Raises:
        OslerError: `session-expired`.
    """
    return gate().person(number(), step=False)


def allowed(action: Action) -> bool:
    """Return whether the person may do something: whether to offer it."""
    try:
        return person().may(action)
    except OslerError:
        return False


def require(action: Action) -> Person:
    """Return the person where the action is allowed; to be asked right before it is done.

    Raises:
        OslerError: `not-allowed`, `session-expired`.
    """
    return require_action(gate().person(number()), action)


def record(action: str, subject: str, **details: str) -> None:
    """Write into the audit log what the person does.

    Raises:
        OslerError: `session-expired`; as `osler.audit.record`.
    """
    audit.record(gate().workspace, actor=person().name, action=action, subject=subject, details=details)


def record_once(action: str, subject: str, **details: str) -> None:
    """Write into the audit log what the person looks at, once a session and subject.

    Raises:
        OslerError: As `record`.
    """
    told: set[tuple[str, str, str]] = st.session_state.setdefault(TOLD, set())
    key = (person().name, action, subject)
    if key not in told:
        record(action, subject, **details)
        told.add(key)


def holder() -> Person | None:
    """Return who may go on with the ended session of this page by a password, None where nobody may."""
    return gate().holder(None if hospital_claims() is not None else number())


def renew(password: str) -> None:
    """Go on with an ended session.

    Raises:
        OslerError: As `osler.access.gate.Gate.renew`.
    """
    gate().renew(number() or "", password)


def sign_out() -> None:
    """End the session, and forget what the page held."""
    gate().sign_out(number())
    forget()


def forget() -> None:
    """Forget what the page held of a person who has gone, all but the number, which is good no more."""
    kept = st.session_state.get(NUMBER)
    st.session_state.clear()
    if kept is not None:
        st.session_state[NUMBER] = kept


def keep_texts() -> None:
    """Keep the texts of fields that are not drawn in this run: Streamlit forgets them otherwise."""
    for key in [
        key for key, value in st.session_state.items() if isinstance(value, str) and not str(key).startswith("$")
    ]:
        st.session_state[key] = st.session_state[key]
