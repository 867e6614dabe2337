"""Accounts, for an administrator: who may sign in, as what, and how to add somebody."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from osler.access import ACTIONS, Action, Role
from osler.access.accounts import Account
from osler.access.passwords import LONGEST, SHORTEST
from osler_contracts.errors import OslerError
from osler_dashboard import session
from osler_dashboard.components import frame

CHOSEN, TOLD = "account_chosen", "account_told"
ROLES = [str(role) for role in Role]
RULE = f"{SHORTEST} to {LONGEST} characters; several words in a row are good ones"


def table(accounts: list[Account]) -> None:
    """Draw who may sign in."""
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(', '.join(sorted(one.roles)))}</td>"
        f"<td>{'May sign in' if one.active else '<b>Locked</b>'}</td>"
        f'<td class="o-quiet o-nowrap">{escape(one.changed[:10])}</td></tr>'
        for one in accounts
    )
    frame.html(
        '<table class="o-table o-compact"><thead><tr><th>Name</th><th>Roles</th><th>State</th><th>Changed</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def add() -> None:
    """Ask for a new account."""
    frame.kicker("Add somebody")
    with st.form("account_add", border=False):
        name = st.text_input("Name", max_chars=80, key="account_name", autocomplete="off")
        roles = st.multiselect("Roles", ROLES, key="account_roles")
        password = st.text_input(
            "First password", type="password", help=RULE, key="$account_password", autocomplete="new-password"
        )
        sent = st.form_submit_button("Add", type="primary")
    if sent:
        who = session.require(Action.MANAGE_ACCOUNTS)
        _do(
            lambda: session.gate().accounts.add(name, tuple(roles), password, actor=who.name),
            f"{frame.plain(name.strip())} may sign in now.",
        )


def change(accounts: list[Account]) -> None:
    """Ask for a change of an account."""
    frame.kicker("Change somebody")
    chosen = st.selectbox("Account", [one.name for one in accounts], key=CHOSEN)
    held = next(one for one in accounts if one.name == chosen)
    with st.form("account_change", border=False):
        roles = st.multiselect(
            "Roles", ROLES, default=sorted(held.roles), key=f"account_roles_{held.name}_{held.changed}"
        )
        active = st.toggle("May sign in", value=held.active, key=f"account_active_{held.name}_{held.changed}")
        password = st.text_input(
            "New password (empty: as it is)",
            type="password",
            help=RULE,
            key="$account_new",
            autocomplete="new-password",
        )
        sent = st.form_submit_button("Change", type="primary", help="Sessions that are open end")
    with st.form("account_remove", border=False):
        removed = st.form_submit_button(f"Remove {frame.plain(held.name)}", help="What was done stays in the audit log")
    files = session.gate().accounts
    if sent:
        who = session.require(Action.MANAGE_ACCOUNTS)
        _do(
            lambda: files.change(
                held.name, actor=who.name, roles=tuple(roles), active=active, password=password or None
            ),
            f"{frame.plain(held.name)} is changed.",
        )
    if removed:
        who = session.require(Action.MANAGE_ACCOUNTS)
        _do(lambda: files.remove(held.name, actor=who.name), f"{frame.plain(held.name)} may no longer sign in.")


def _do(step: Callable[[], object], told: str) -> None:
    try:
        step()
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    st.session_state[TOLD] = told
    st.rerun()


def roles() -> None:
    """Draw what each role may do."""
    rows = "".join(
        f"<tr><td>{escape(str(role).capitalize())}</td>"
        f'<td class="o-quiet">{escape(", ".join(one.value for one in Action if one in ACTIONS[role]))}</td></tr>'
        for role in Role
    )
    with st.expander("What each role may do"):
        frame.html(f'<table class="o-table o-compact"><tbody>{rows}</tbody></table>')


def show() -> None:
    """Draw the page."""
    session.require(Action.MANAGE_ACCOUNTS)
    st.markdown("## Accounts")
    if told := st.session_state.pop(TOLD, None):
        st.success(told)
    if session.gate().hospital is not None:
        st.info("People sign in with their hospital accounts as well; its groups give the roles (docs/access.md).")
    accounts = session.gate().accounts.all()
    left, right = st.columns([11, 8], gap="large")
    with left:
        if accounts:
            table(accounts)
        else:
            frame.html(
                "<p>There are none yet: the person at the terminal is let in by its address. With the first account, "
                "everybody signs in, so begin with an administrator.</p>"
            )
        roles()
    with right:
        add()
        if accounts:
            change(accounts)


show()
