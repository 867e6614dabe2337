"""Every role sees its pages and only those, by navigation and by address; a session that ends asks for the password, and loses nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from osler import audit
from osler.access import Action, Person, Role
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import pages, session

PASSWORD = "four plain words here"
# Written out by hand: what each role sees, whatever the table of the code says.
SEEN = {
    "worklist": {Role.CLINICIAN},
    "study": {Role.CLINICIAN},
    "patient": {Role.CLINICIAN},
    "reader_study": {Role.CLINICIAN, Role.RESEARCHER},
    "results": {Role.RESEARCHER},
    "sites": {Role.ENGINEER},
    "knowledge": {Role.CLINICIAN, Role.RESEARCHER, Role.ENGINEER},
    "audit": {Role.ADMINISTRATOR},
    "accounts": {Role.ADMINISTRATOR},
}
CLOSED = "is not among your pages"


def sign_out_is_there(app: AppTest) -> bool:
    return any(one.key == "sign_out" for one in app.button)


def test_the_table_of_pages_is_the_one_written_here() -> None:
    assert [page.name for page in pages.PAGES] == list(SEEN)
    for page, role in itertools.product(pages.PAGES, Role):
        assert page.open_to(Person("x", frozenset({role}))) == (role in SEEN[page.name]), (page.name, role)


@pytest.mark.parametrize("role", Role)
def test_a_role_opens_its_pages_by_address_and_no_other(
    role: Role, open_page: Callable[..., Any], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osler_dashboard import services

    # What the pages draw is tested elsewhere: here it counts whether they are drawn at all.
    monkeypatch.setattr(pages, "VIEWS", demo.workspace.root / "views")
    pages.VIEWS.mkdir()
    for name in SEEN:
        (pages.VIEWS / f"{name}.py").write_text(f"import streamlit as st\nst.markdown('drawn {name}')\n")
    assert services.workspace().root == demo.workspace.root
    for name, roles in SEEN.items():
        screen = open_page(name, roles=[role])
        drawn = [one.value for one in screen.app.markdown]
        if role in roles:
            assert f"drawn {name}" in drawn
        else:
            assert f"drawn {name}" not in drawn
            assert CLOSED in screen.words
        assert sign_out_is_there(screen.app)


@pytest.mark.parametrize(("role", "action"), list(itertools.product(Role, Action)))
def test_every_action_is_asked_for_again(
    role: Role, action: Action, demo: Any, monkeypatch: pytest.MonkeyPatch, local_sign_in: Callable[..., str]
) -> None:
    number = local_sign_in("Dr A", [role])
    monkeypatch.setattr(session, "number", lambda: number)
    if Person("x", frozenset({role})).may(action):
        assert session.require(action).name == "Dr A"
        assert session.allowed(action)
        return
    with pytest.raises(OslerError) as refused:
        session.require(action)
    assert refused.value.code is Code.NOT_ALLOWED
    assert not session.allowed(action)


@pytest.mark.parametrize("name", list(SEEN))
def test_nobody_sees_anything_without_signing_in(name: str, demo: Any) -> None:
    app = AppTest.from_file(str(pages.VIEWS.parent / "app.py"), default_timeout=60)
    app.switch_page(pages.address(name)).run()
    assert not app.exception
    text = "\n".join(str(one.proto) for one in app.main)
    assert "not signed in" in text
    for secret in ("Hospital", "hospital_a", "study 0001", "Pacemaker", "phantom"):
        assert secret not in text
    assert not sign_out_is_there(app)


def with_account(screen_of: Callable[..., Any], page: str, *roles: str) -> Any:
    """Open a page as a person with an account."""
    session.gate().accounts.add("Dr Ada", roles, PASSWORD, actor="root")
    return screen_of(page, number=session.gate().sign_in("Dr Ada", PASSWORD))


def end_of_session(monkeypatch: pytest.MonkeyPatch) -> None:
    held = session.gate()._sessions
    later = held._clock() + 31 * 60
    monkeypatch.setattr(held, "_clock", lambda: later)


def test_an_ended_session_asks_for_the_password_and_keeps_what_was_written(
    open_page: Callable[..., Any], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = with_account(open_page, "sites", "engineer")
    screen.app.text_input(key="switch_why").set_value("scanner replaced")
    screen.app.session_state["corrections"] = {"study": {"sign": True}}
    end_of_session(monkeypatch)
    next(one for one in screen.app.button if one.label == "Switch it off").click().run()
    assert "Your session has ended" in screen.words
    assert "What arrived" not in screen.words
    assert [one.action for one in audit.entries(demo.workspace)].count("patch.revoke") == 0
    screen.app.text_input(key="$password").set_value("wrong wrong wrong")
    next(one for one in screen.app.button if one.label == "Go on").click().run()
    assert "do not belong together" in screen.app.warning[0].value
    screen.app.text_input(key="$password").set_value(PASSWORD)
    next(one for one in screen.app.button if one.label == "Go on").click().run()
    assert "What arrived" in screen.words
    assert screen.app.session_state["corrections"] == {"study": {"sign": True}}
    assert screen.app.text_input(key="switch_why").value == "scanner replaced"
    assert "$password" not in screen.app.session_state


def test_a_local_session_that_ended_leads_to_the_terminal(
    open_page: Callable[..., Any], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = open_page("sites")
    end_of_session(monkeypatch)
    screen.app.run()
    assert "Your session has ended" in screen.words
    assert not screen.app.text_input
    assert "/sign-in" in screen.text


def test_signing_out_forgets_what_the_page_held(open_page: Callable[..., Any], demo: Any) -> None:
    screen = open_page("sites")
    screen.app.session_state["corrections"] = {"study": {"sign": True}}
    screen.app.button(key="sign_out").click().run()
    assert "Your session has ended" in screen.words
    assert "corrections" not in screen.app.session_state
    screen.app.run()
    assert "What arrived" not in screen.words
    last = audit.entries(demo.workspace)[-1]
    assert (last.actor, last.action) == ("Dr A", "access.sign-out")


def test_a_role_that_is_taken_away_is_gone_at_the_next_step(open_page: Callable[..., Any], demo: Any) -> None:
    screen = with_account(open_page, "sites", "engineer")
    assert "What arrived" in screen.words
    session.gate().accounts.change("Dr Ada", actor="root", roles=["researcher"])
    screen.app.run()
    assert "What arrived" not in screen.words


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "**bold** [link](javascript:alert(1))", ":red[x] $y$"]
)
def test_hostile_names_are_shown_as_they_are(name: str, open_page: Callable[..., Any], demo: Any) -> None:
    session.gate().accounts.add(name, ["administrator"], PASSWORD, actor="root")
    number = session.gate().sign_in(name, PASSWORD)
    for page in ("accounts", "audit"):
        screen = open_page(page, number=number)
        assert name in screen.words
        assert not any("<img src" in one.proto.body for one in screen.app.get("html"))
