"""The gate: who proves it gets in, who does not waits longer each time, and a session ends when it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler import audit
from osler.access import Person, Role
from osler.access.backoff import FREE, MOST, BackOff
from osler.access.gate import Gate
from osler.access.hospital import Hospital
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GOOD, START = "four plain words here", 4_000_000_000.0  # after every account was made


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("OSLER_ACCOUNTS_FILE", raising=False)
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def gate(workspace: Workspace, clock: Clock) -> Gate:
    made = Gate(workspace, clock=clock, idle=600, longest=3600)
    made.accounts.add("Dr Ada", ["clinician"], GOOD, actor="root")
    made.accounts.add("Boss", ["administrator"], GOOD, actor="root")
    return made


def refused(code: Code, call: Any, *words: Any) -> OslerError:
    with pytest.raises(OslerError) as caught:
        call(*words)
    assert caught.value.code is code
    return caught.value


def told(workspace: Workspace) -> list[tuple[str, str]]:
    return [(one.actor, one.action) for one in audit.entries(workspace) if one.action.startswith("access.")]


def test_name_and_password_open_a_session_and_signing_out_ends_it(gate: Gate, workspace: Workspace) -> None:
    number = gate.sign_in("dr ada", GOOD)
    assert gate.person(number) == Person("Dr Ada", frozenset({Role.CLINICIAN}))
    gate.sign_out(number)
    refused(Code.SESSION_EXPIRED, gate.person, number)
    assert gate.holder(number) is None, "who signed out does not go on by the password alone"
    gate.sign_out(number)
    assert told(workspace) == [("Dr Ada", "access.sign-in"), ("Dr Ada", "access.sign-out")]


def test_wrong_names_and_wrong_passwords_are_told_alike_and_audited(gate: Gate, workspace: Workspace) -> None:
    one = refused(Code.SIGN_IN_REFUSED, gate.sign_in, "Dr Ada", "wrong wrong wrong")
    two = refused(Code.SIGN_IN_REFUSED, gate.sign_in, "my password in the wrong field", "x")
    assert (one.message, one.mend) == (two.message, two.mend)
    assert told(workspace) == [("Dr Ada", "access.refused"), ("unknown", "access.refused")]
    assert "wrong field" not in (workspace.feedback / audit.LOG).read_text()


@pytest.mark.parametrize("name", ["Dr Ada", "nobody at all"])
def test_guessing_is_slowed_down_for_known_and_unknown_names_alike(gate: Gate, clock: Clock, name: str) -> None:
    waits = []
    for _ in range(12):
        refused(Code.SIGN_IN_REFUSED, gate.sign_in, name, "wrong wrong wrong")
        waited = gate._waiting.wait(name.casefold())
        waits.append(waited)
        if waited:
            error = refused(Code.SIGN_IN_DELAYED, gate.sign_in, name, GOOD)
            assert "seconds" in error.mend or "minutes" in error.mend
        clock.now += waited
    assert waits[: FREE - 1] == [0.0] * (FREE - 1)
    assert waits[FREE - 1 :] == sorted(waits[FREE - 1 :])
    assert (waits[FREE - 1], waits[-1]) == (5.0, MOST)
    assert sum(waits) > 3000, "a dozen guesses take most of an hour"


def test_the_right_password_ends_the_waiting_and_others_do_not_wait(gate: Gate, clock: Clock) -> None:
    for _ in range(FREE):
        refused(Code.SIGN_IN_REFUSED, gate.sign_in, "Dr Ada", "wrong wrong wrong")
    assert gate.person(gate.sign_in("Boss", GOOD)).name == "Boss"
    refused(Code.SIGN_IN_DELAYED, gate.sign_in, "Dr Ada", GOOD)
    clock.now += 5
    gate.sign_in("Dr Ada", GOOD)
    refused(Code.SIGN_IN_REFUSED, gate.sign_in, "Dr Ada", "wrong wrong wrong")
    gate.sign_in("Dr Ada", GOOD)


@given(st.lists(st.text(max_size=5), max_size=40))
def test_names_are_counted_apart(names: list[str]) -> None:
    held = BackOff(lambda: 0.0)
    for name in names:
        held.failed(name)
    for name in {*names, "another"}:
        assert (held.wait(name) > 0) == (names.count(name) >= FREE)


def test_failures_of_many_names_fill_no_memory() -> None:
    held = BackOff(lambda: 0.0)
    for number in range(20_000):
        held.failed(str(number))
    assert len(held._names) == 10_000


def test_a_session_ends_by_idling_and_by_age(gate: Gate, clock: Clock) -> None:
    number = gate.sign_in("Dr Ada", GOOD)
    for _ in range(6):
        clock.now += 599
        gate.person(number)
    clock.now += 6
    refused(Code.SESSION_EXPIRED, gate.person, number)
    idle = gate.sign_in("Dr Ada", GOOD)
    clock.now += 599
    gate.person(idle, step=False)
    clock.now += 1
    refused(Code.SESSION_EXPIRED, gate.person, idle)


def test_an_ended_session_goes_on_by_the_password_of_its_holder_alone(gate: Gate, clock: Clock) -> None:
    number = gate.sign_in("Dr Ada", GOOD)
    clock.now += 600
    held = gate.holder(number)
    assert held is not None
    assert held.name == "Dr Ada"
    refused(Code.SIGN_IN_REFUSED, gate.renew, number, "wrong wrong wrong")
    refused(Code.SESSION_EXPIRED, gate.person, number)
    gate.renew(number, GOOD)
    assert gate.person(number).name == "Dr Ada"
    refused(Code.SESSION_EXPIRED, gate.renew, "some other number", GOOD)


@pytest.mark.parametrize("number", [None, "", "x", "0" * 64, "../../etc/passwd"])
def test_made_up_numbers_open_nothing(gate: Gate, number: str | None) -> None:
    refused(Code.SESSION_EXPIRED, gate.person, number)
    assert gate.holder(number) is None


def test_a_changed_account_takes_effect_on_open_sessions(workspace: Workspace) -> None:
    import time

    gate = Gate(workspace)
    gate.accounts.add("Dr Ada", ["clinician"], GOOD, actor="root")
    for change in ({"roles": ["engineer"]}, {"password": "another good phrase"}, {"active": False}):
        password = "another good phrase" if change == {"active": False} else GOOD
        number = gate.sign_in("Dr Ada", password)
        gate.person(number)
        time.sleep(0.002)
        gate.accounts.change("Dr Ada", actor="root", **change)  # type: ignore[arg-type]
        refused(Code.SESSION_EXPIRED, gate.person, number)
    refused(Code.SIGN_IN_REFUSED, gate.sign_in, "Dr Ada", "another good phrase")


def test_a_removed_account_is_out_at_once(gate: Gate) -> None:
    number = gate.sign_in("Dr Ada", GOOD)
    gate.accounts.remove("Dr Ada", actor="Boss")
    refused(Code.SESSION_EXPIRED, gate.person, number)
    refused(Code.SESSION_EXPIRED, gate.renew, number, GOOD)


def test_the_address_of_the_terminal_lets_in_once(workspace: Workspace) -> None:
    gate = Gate(workspace)
    person = Person("ada", frozenset(Role), via="local")
    token = gate.open_door(person)
    assert len(token) >= 43, "256 bits"
    refused(Code.SIGN_IN_REFUSED, gate.enter, token + "x")
    refused(Code.SIGN_IN_REFUSED, gate.enter, "")
    assert gate.person(gate.enter(token)) == person
    refused(Code.SIGN_IN_REFUSED, gate.enter, token)
    older = gate.open_door(person)
    gate.open_door(person)
    refused(Code.SIGN_IN_REFUSED, gate.enter, older)


def test_accounts_close_the_address_of_the_terminal(workspace: Workspace) -> None:
    gate = Gate(workspace)
    token = gate.open_door(Person("ada", frozenset(Role), via="local"))
    gate.accounts.add("Boss", ["administrator"], GOOD, actor="root")
    refused(Code.NOT_ALLOWED, gate.enter, token)
    refused(Code.NOT_ALLOWED, gate.open_door, Person("ada", frozenset(Role), via="local"))


def test_a_tampered_log_lets_nobody_in(gate: Gate, workspace: Workspace) -> None:
    log = workspace.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b"Boss", b"Bo55"))
    refused(Code.AUDIT_BROKEN, gate.sign_in, "Dr Ada", GOOD)


def hospital(**more: Any) -> Hospital:
    return Hospital(
        metadata="https://idp.example/.well-known/openid-configuration",
        client_id="osler",
        client_secret_file=Path("secret"),
        address="https://osler.example/",
        groups={Role.CLINICIAN: ("radiology",), Role.ADMINISTRATOR: ("it",)},
        people={Role.ENGINEER: ("Eve@Example.org",)},
        **more,
    )


CLAIMS = {"iss": "https://idp.example", "sub": "7", "iat": START, "exp": START + 300, "email": "ada@example.org"}


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"groups": ["radiology"]}, {Role.CLINICIAN}),
        ({"groups": ["radiology", "it", "other"]}, {Role.CLINICIAN, Role.ADMINISTRATOR}),
        ({"groups": "it"}, {Role.ADMINISTRATOR}),
        ({"email": "eve@example.org", "email_verified": True}, {Role.ENGINEER}),
        ({"email": "eve@example.org"}, set()),
        ({"email": "eve@example.org", "email_verified": "true"}, set()),
        ({"email": "eve@example.org", "email_verified": False}, set()),
        ({"groups": ["Radiology"]}, set()),
        ({"groups": None}, set()),
        ({"groups": [["radiology"]]}, set()),
        ({}, set()),
    ],
)
def test_claims_give_the_roles_of_the_file(claims: dict[str, Any], roles: set[Role]) -> None:
    assert hospital().roles(claims) == roles


def test_a_hospital_session_ends_with_its_token_and_does_not_come_back(workspace: Workspace, clock: Clock) -> None:
    gate = Gate(workspace, clock=clock, hospital=hospital())
    claims = {**CLAIMS, "groups": ["radiology"]}
    number = gate.hospital_session(claims)
    assert gate.person(number) == Person("ada@example.org", frozenset({Role.CLINICIAN}), via="hospital")
    assert gate.hospital_session(claims) == number
    clock.now = START + 300
    refused(Code.SESSION_EXPIRED, gate.person, gate.hospital_session(claims))
    assert gate.holder(number) is None
    clock.now = START
    gate.sign_out(number)
    refused(Code.SESSION_EXPIRED, gate.person, gate.hospital_session(claims))
    assert gate.hospital_session({**claims, "iat": START + 1}) != number, "a new log-in is a new session"
    assert [action for _, action in told(workspace)] == ["access.sign-in", "access.sign-out", "access.sign-in"]


@pytest.mark.parametrize("exp", [START, START - 1, None, "soon", float("nan"), float("inf"), True])
def test_a_token_without_a_time_ahead_opens_nothing(workspace: Workspace, clock: Clock, exp: Any) -> None:
    gate = Gate(workspace, clock=clock, hospital=hospital())
    refused(Code.SESSION_EXPIRED, gate.hospital_session, {**CLAIMS, "groups": ["it"], "exp": exp})


def test_who_has_no_role_or_no_name_is_refused(workspace: Workspace, clock: Clock) -> None:
    gate = Gate(workspace, clock=clock, hospital=hospital())
    refused(Code.SIGN_IN_REFUSED, gate.hospital_session, CLAIMS)
    for name in ("a\nb", "x" * 81, "\u202e"):
        refused(Code.SIGN_IN_REFUSED, gate.hospital_session, {**CLAIMS, "groups": ["it"], "email": name})
    assert set(told(workspace)) == {("unknown", "access.refused")}
