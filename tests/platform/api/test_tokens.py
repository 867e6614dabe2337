"""Tokens: issued, shown once, held as a hash, ended by time, by hand, and with their account."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osler import audit
from osler.access import passwords
from osler.access.accounts import AccountFile
from osler.access.roles import Role
from osler.api.tokens import FORM, TokenFile
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.fixture
def accounts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> AccountFile:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    file = AccountFile(workspace)
    file.add("Root", ("administrator",), "a long enough word", actor="test")
    file.add("Dr Baum", ("clinician", "researcher"), "a long enough word", actor="test")
    return file


@pytest.fixture
def tokens(workspace: Workspace, accounts: AccountFile) -> TokenFile:
    return TokenFile(workspace, accounts)


def secret_of(text: str) -> str:
    match = FORM.fullmatch(text)
    assert match
    return match[2]


def code_of(tokens: TokenFile, text: str | None, now: datetime | None = None) -> Code:
    with pytest.raises(OslerError) as caught:
        tokens.holder(text, now)
    return caught.value.code


def test_the_holder_of_a_token_is_the_person_of_the_account(tokens: TokenFile) -> None:
    text, token = tokens.issue("dr baum", ("clinician",), actor="Root")
    found, person = tokens.holder(text)
    assert (found.id, person.name, person.roles) == (token.id, "Dr Baum", {Role.CLINICIAN})


def test_the_file_holds_no_secret_and_is_its_owners_alone(tokens: TokenFile) -> None:
    text, token = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    secret = secret_of(text)
    content = tokens.path.read_text()
    assert secret not in content
    assert token.hash in content
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=80), st.from_regex(FORM, fullmatch=True)))
def test_nothing_that_was_not_issued_is_a_token(workspace: Workspace, text: str) -> None:
    assert code_of(TokenFile(workspace), text) is Code.TOKEN_REFUSED


def test_a_token_with_one_letter_changed_is_refused(tokens: TokenFile) -> None:
    text, _ = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    for place in range(len(text)):
        other = "a" if text[place] != "a" else "b"
        assert code_of(tokens, text[:place] + other + text[place + 1 :]) is Code.TOKEN_REFUSED
    assert code_of(tokens, None) is Code.TOKEN_REFUSED


def test_a_token_ends_at_its_moment_and_only_its_holder_is_told_so(tokens: TokenFile) -> None:
    now = datetime.now(UTC)
    text, token = tokens.issue("Dr Baum", ("clinician",), actor="Root", days=1, now=now)
    end = datetime.fromisoformat(token.expires)
    assert tokens.holder(text, end - timedelta(microseconds=1))
    assert code_of(tokens, text, end) is Code.TOKEN_EXPIRED
    assert code_of(tokens, text[:-1] + ("a" if text[-1] != "a" else "b"), end) is Code.TOKEN_REFUSED


def test_a_revoked_token_is_refused_and_stays_on_the_list(tokens: TokenFile) -> None:
    text, token = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    tokens.revoke(token.id, actor="Root")
    assert code_of(tokens, text) is Code.TOKEN_REFUSED
    assert [one.state(datetime.now(UTC)) for one in tokens.all()] == ["revoked"]
    with pytest.raises(OslerError) as caught:
        tokens.revoke("000000000000", actor="Root")
    assert caught.value.code is Code.UNKNOWN_TOKEN


@pytest.mark.parametrize(
    "change", [{"active": False}, {"roles": ("researcher",)}, {"password": "another long enough word"}]
)
def test_a_token_ends_when_its_account_is_changed(
    tokens: TokenFile, accounts: AccountFile, change: dict[str, object]
) -> None:
    text, _ = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    accounts.change("Dr Baum", actor="Root", **change)  # type: ignore[arg-type]
    assert code_of(tokens, text) is Code.TOKEN_REFUSED


def test_a_token_does_not_pass_to_who_gets_the_name_later(tokens: TokenFile, accounts: AccountFile) -> None:
    person, _ = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    program, _ = tokens.issue("loader", ("clinician",), actor="Root", program=True)
    accounts.remove("Dr Baum", actor="Root")
    assert code_of(tokens, person) is Code.TOKEN_REFUSED
    accounts.add("Dr Baum", ("clinician",), "a long enough word", actor="Root")
    accounts.add("loader", ("researcher",), "a long enough word", actor="Root")
    assert code_of(tokens, person) is Code.TOKEN_REFUSED
    assert code_of(tokens, program) is Code.TOKEN_REFUSED


@pytest.mark.parametrize(
    ("name", "roles", "more", "code"),
    [
        ("Dr Baum", ("engineer",), {}, Code.USAGE),
        ("Dr Baum", (), {}, Code.USAGE),
        ("Dr Baum", ("clinician",), {"days": 0}, Code.USAGE),
        ("Dr Baum", ("clinician",), {"days": 367}, Code.USAGE),
        ("Dr Baum", ("clinician",), {"program": True}, Code.USAGE),
        ("osler", ("clinician",), {"program": True}, Code.USAGE),
        ("a\nb", ("clinician",), {"program": True}, Code.USAGE),
        ("nobody", ("clinician",), {}, Code.UNKNOWN_ACCOUNT),
    ],
)
def test_what_cannot_be_issued_is_refused(
    tokens: TokenFile, name: str, roles: tuple[str, ...], more: dict[str, object], code: Code
) -> None:
    with pytest.raises(OslerError) as caught:
        tokens.issue(name, roles, actor="Root", **more)  # type: ignore[arg-type]
    assert caught.value.code is code
    assert tokens.all() == []


def test_issuing_and_revoking_are_audited_without_the_secret(tokens: TokenFile, workspace: Workspace) -> None:
    text, token = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    tokens.revoke(token.id, actor="Root")
    told = [one for one in audit.entries(workspace) if one.action.startswith("token.")]
    assert [(one.actor, one.action, one.subject) for one in told] == [
        ("Root", "token.issue", token.id),
        ("Root", "token.revoke", token.id),
    ]
    assert secret_of(text) not in json.dumps([dict(one.details) for one in told])


@pytest.mark.parametrize("spoil", ["mode", "version", "content", "zone", "word"])
def test_a_file_that_is_open_or_spoilt_lets_nobody_in(tokens: TokenFile, spoil: str) -> None:
    text, _ = tokens.issue("Dr Baum", ("clinician",), actor="Root")
    if spoil == "mode":
        tokens.path.chmod(0o644)
    elif spoil == "version":
        tokens.path.write_text(tokens.path.read_text().replace('"version": 1', '"version": 99'))
    elif spoil == "zone":
        tokens.path.write_text(tokens.path.read_text().replace("+00:00", ""))
    elif spoil == "word":
        tokens.path.write_text(tokens.path.read_text().replace('"program": false', '"program": []'))
    else:
        tokens.path.write_text("{")
    fresh = TokenFile(tokens._workspace)
    assert code_of(fresh, text) is Code.ACCESS_INVALID
