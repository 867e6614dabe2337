"""Every address refuses wrong, expired and missing tokens, and every role what it may not do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from osler import audit
from osler.access.roles import ACTIONS, Action, Role
from osler.api.app import describe
from osler.api.guard import OPEN
from osler.api.tokens import TokenFile

DESCRIBED = describe()
VALUES = {"study": "1.2.3", "review": "0" * 16, "patch": "0" * 12}
NEEDED = {
    ("get", "/metrics"): Action.EXAMINE,
    ("get", "/v1/studies"): Action.VIEW_STUDIES,
    ("get", "/v1/studies/{study}"): Action.VIEW_STUDIES,
    ("get", "/v1/studies/{study}/explanation"): Action.VIEW_STUDIES,
    ("post", "/v1/studies/{study}/explanation"): Action.CORRECT,
    ("get", "/v1/studies/{study}/reviews"): Action.VIEW_STUDIES,
    ("post", "/v1/studies/{study}/reviews"): Action.CORRECT,
    ("post", "/v1/studies/{study}/reviews/{review}/confirm"): Action.SIGN,
    ("delete", "/v1/studies/{study}/reviews/{review}"): Action.CORRECT,
    ("get", "/v1/patches"): Action.VIEW_SITE,
    ("get", "/v1/patches/{patch}"): Action.VIEW_SITE,
    ("get", "/v1/patches/{patch}/diff"): Action.VIEW_SITE,
    ("post", "/v1/patches/{patch}/apply"): Action.SWITCH_PATCH,
    ("post", "/v1/patches/{patch}/revoke"): Action.SWITCH_PATCH,
}


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in DESCRIBED["paths"].items():
        for method in methods:
            yield method, path


EVERY = list(operations())
SHUT = [one for one in EVERY if one[1] not in OPEN]


def send(api: Any, operation: tuple[str, str], authorization: str | None) -> Any:
    """Send an operation with values in its address, and nothing that its body would need."""
    method, path = operation
    headers = {} if authorization is None else {"Authorization": authorization}
    return api.client.request(method.upper(), path.format(**VALUES), headers=headers)


def test_the_table_above_knows_every_address() -> None:
    assert {one for one in SHUT if one[1] != "/v1/me"} == set(NEEDED)


@pytest.mark.parametrize("operation", [*SHUT, ("get", "/openapi.json"), ("get", "/v1/nothing"), ("put", "/v1/studies")])
def test_no_address_answers_without_a_good_token(shared_api: Any, operation: tuple[str, str]) -> None:
    api = shared_api
    file = TokenFile(api.workspace)
    old, _ = file.issue(
        "old", ("clinician",), actor="test", program=True, days=1, now=datetime.now(UTC) - timedelta(days=2)
    )
    gone, record = file.issue("gone", ("clinician",), actor="test", program=True)
    file.revoke(record.id, actor="test")
    good = api.tokens[Role.CLINICIAN]
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {good}",
        good,
        f"Bearer {good}x",
        f"Bearer {good[:-1]}",
        f"Bearer {gone}",
    ]
    for authorization in [*wrong, f"Bearer {old}"]:
        answer = send(api, operation, authorization)
        assert answer.status_code == 401, authorization
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        expected = "token-expired" if authorization == f"Bearer {old}" else "token-refused"
        assert answer.json()["error"]["code"] == expected


@pytest.mark.parametrize("operation", list(NEEDED))
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_the_dashboard_lets_it(shared_api: Any, operation: tuple[str, str], role: Role) -> None:
    answer = send(shared_api, operation, f"Bearer {shared_api.tokens[role]}")
    if NEEDED[operation] in ACTIONS[role]:
        assert answer.status_code not in (401, 403)
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not-allowed")


def test_who_may_correct_and_not_sign_cannot_sign(shared_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api, uid = shared_api, shared_api.uids[0]
    monkeypatch.setitem(ACTIONS, Role.CLINICIAN, ACTIONS[Role.CLINICIAN] - {Action.SIGN})  # type: ignore[index]
    answer = api.ask("POST", f"/v1/studies/{uid}/reviews", json={"based_on": "", "signed": True})
    assert answer.status_code == 403
    assert api.get(f"/v1/studies/{uid}/reviews")["items"] == []


def test_the_probes_answer_anybody_and_tell_nothing_of_data(shared_api: Any) -> None:
    for address in OPEN:
        answer = shared_api.client.get(address, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 200
        assert set(answer.json()) <= {"status", "warm"}


def test_the_holder_is_told_who_it_is(shared_api: Any) -> None:
    found = shared_api.get("/v1/me", Role.ENGINEER)
    assert (found["name"], found["roles"], found["program"]) == ("the engineer", ["engineer"], True)
    assert found["may"] == [action.value for action in Action if action in ACTIONS[Role.ENGINEER]]


def test_refusals_are_audited_once_a_minute(make_api: Any) -> None:
    api = make_api()
    for _ in range(5):
        api.client.get("/v1/me")
    told = [one for one in audit.entries(api.workspace) if one.action == "api.refused"]
    assert [(one.actor, one.subject) for one in told] == [("unknown", "token")]


def test_a_token_in_the_address_is_no_token(shared_api: Any) -> None:
    good = shared_api.tokens[Role.CLINICIAN]
    answer = shared_api.client.get(f"/v1/me?access_token={good}&token={good}")
    assert answer.status_code == 401
