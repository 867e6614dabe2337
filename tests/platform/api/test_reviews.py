"""Corrections and sign-offs by the API are those of the dashboard: one revision after the other, audited."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from osler import audit
from osler.feedback import reviews_of


def told(api: Any) -> list[tuple[str, str]]:
    skipped = ("token.", "study.view", "study.list", "api.")
    return [(one.actor, one.action) for one in audit.entries(api.workspace) if not one.action.startswith(skipped)]


def test_a_signed_word_is_kept_with_what_was_shown(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    first = api.get(f"/v1/studies/{uid}/explanation")
    concept = first["concepts"][0]["id"]
    body = {"answers": {concept: "absent"}, "comment": "Rotated.", "based_on": "", "finding": "normal"}
    answer = api.ask("POST", f"/v1/studies/{uid}/reviews", json=body)
    assert answer.status_code == 201
    held = reviews_of(api.workspace, uid)
    assert held.result is not None
    assert (held.result.id, held.result.reviewer) == (answer.json()["id"], "the clinician")
    assert held.result.corrections == {concept: False}
    assert (held.result.finding, held.result.comment) == ("normal", "Rotated.")
    assert (held.result.before.finding, held.result.model) == (first["finding"]["id"], first["model"])
    found = api.get(f"/v1/studies/{uid}/reviews")
    assert (found["state"], found["revision"], found["result"]) == ("signed", held.revision, held.revision)
    assert told(api) == [("the clinician", "study.answer"), ("the clinician", "study.sign")]


def test_work_in_progress_is_not_signed(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    body = {"answers": {"concept_1": "doubt"}, "based_on": "", "signed": False}
    assert api.ask("POST", f"/v1/studies/{uid}/reviews", json=body).status_code == 201
    assert api.get(f"/v1/studies/{uid}")["state"] == "in review"
    assert told(api) == [("the clinician", "study.answer")]


def test_who_comes_later_is_told_and_may_confirm_or_withdraw(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    address = f"/v1/studies/{uid}/reviews"
    signed = api.ask("POST", address, json={"based_on": ""}).json()["id"]
    late = api.ask("POST", address, "other", json={"based_on": "", "comment": "Mine."})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "review-conflict")
    kept = late.json()["error"]["details"]["kept"]
    assert late.json()["error"]["details"]["revision"] == signed
    assert api.get(address)["result"] == signed
    assert [one["id"] for one in api.get(address, "other")["waiting"]] == [kept]
    assert api.get(address)["waiting"] == []  # somebody else's word that waits is that person's alone
    for who in ("clinician", "other"):
        assert api.ask("DELETE", f"{address}/{'0' * 16}", who).status_code == 404
    assert api.ask("DELETE", f"{address}/{kept}").status_code == 404
    confirmed = api.ask("POST", f"{address}/{kept}/confirm", "other", json={"based_on": signed})
    assert (confirmed.status_code, confirmed.json()["amends"]) == (201, signed)
    assert api.get(f"/v1/studies/{uid}")["state"] == "amended"
    again = api.ask("POST", address, json={"based_on": signed}).json()["error"]["details"]["kept"]
    assert api.ask("DELETE", f"{address}/{again}").status_code == 204
    assert api.get(address)["waiting"] == []
    assert [action for _, action in told(api)].count("study.sign-late") == 2


def test_a_word_is_confirmed_at_its_own_study_only(make_api: Any) -> None:
    api = make_api()
    uid, other = api.uids[:2]
    api.ask("POST", f"/v1/studies/{uid}/reviews", json={"based_on": ""})
    kept = api.ask("POST", f"/v1/studies/{uid}/reviews", json={"based_on": ""}).json()["error"]["details"]["kept"]
    answer = api.ask("POST", f"/v1/studies/{other}/reviews/{kept}/confirm", json={"based_on": ""})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-review")


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [
        ({"based_on": ""}, None, 201),
        ({}, '""', 201),
        ({"based_on": ""}, '""', 201),
        ({}, None, 422),
        ({"based_on": ""}, '"0123456789abcdef"', 422),
        ({}, '"0123456789abcdef"', 409),
        ({}, "*", 409),
    ],
)
def test_a_word_says_what_it_is_based_on(make_api: Any, body: dict[str, str], header: str | None, status: int) -> None:
    api = make_api()
    headers = {} if header is None else {"If-Match": header}
    answer = api.ask("POST", f"/v1/studies/{api.uids[0]}/reviews", json=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_the_revision_comes_as_etag_and_is_taken_as_if_match(make_api: Any) -> None:
    api = make_api()
    address = f"/v1/studies/{api.uids[0]}/reviews"
    for _ in range(3):
        tag = api.ask("GET", address).headers["ETag"]
        assert api.ask("POST", address, json={}, headers={"If-Match": tag}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"answers": {"nothing": "absent"}},
        {"finding": "nothing"},
        {"answers": {"concept_1": "perhaps"}},
        {"comment": "x" * 4001},
        {"comment": "\ud800"},
        {"more": 1},
    ],
)
def test_what_is_no_word_on_the_study_is_not_kept(shared_api: Any, body: dict[str, Any]) -> None:
    import json

    uid = shared_api.uids[0]
    content = json.dumps({"based_on": "", **body})
    answer = shared_api.ask(
        "POST", f"/v1/studies/{uid}/reviews", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert reviews_of(shared_api.workspace, uid).counted == ()


def test_of_many_who_sign_at_once_one_is_first_and_nothing_is_lost(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: api.ask(
                    "POST", f"/v1/studies/{uid}/reviews", json={"based_on": "", "comment": str(number)}
                ),
                range(8),
            )
        )
    assert sorted(one.status_code for one in answers) == [201] + [409] * 7
    held = reviews_of(api.workspace, uid)
    assert {one.comment for one in (*held.counted, *held.waiting)} == {str(number) for number in range(8)}
    assert audit.verify(api.workspace).fault is None


def test_nothing_is_signed_that_cannot_be_audited(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    log = api.workspace.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b"study.list", b"study.lost"))
    answer = api.ask("POST", f"/v1/studies/{uid}/reviews", json={"based_on": ""})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit-broken")
    assert reviews_of(api.workspace, uid).counted == ()
