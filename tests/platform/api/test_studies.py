"""Studies page by page, and their explanations: the same as `osler explain` gives, worked out once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from osler import audit
from osler.access.roles import Role
from osler.explain.schema import read_explanation
from osler.explain.service import StudyExplainer


def made(api: Any) -> int:
    """Return how many explanations were worked out, rather than held."""
    counter = api.app.state.held.metrics.explanations.labels("made")
    return int(counter._value.get())


def rounded(value: Any) -> Any:
    """Return a record with its numbers rounded: a study that is read with others is summed in another order."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 9) if isinstance(value, float) else value


@pytest.mark.parametrize("limit", [1, 2, 4, 6, 200])
def test_pages_together_hold_every_study_once(shared_api: Any, limit: int) -> None:
    found = []
    for offset in range(0, 7, limit):
        page = shared_api.get(f"/v1/studies?limit={limit}&offset={offset}")
        assert page["total"] == 6
        assert len(page["items"]) <= limit
        found += [one["uid"] for one in page["items"]]
    assert found == sorted(set(found))
    assert len(found) == 6


def test_a_site_and_a_state_choose(shared_api: Any) -> None:
    assert shared_api.get("/v1/studies?site=c")["total"] == 6
    assert shared_api.get("/v1/studies?site=elsewhere") == {"items": [], "total": 0, "limit": 50, "offset": 0}
    uid = shared_api.uids[5]
    shared_api.ask("POST", f"/v1/studies/{uid}/reviews", json={"based_on": ""})
    assert [one["uid"] for one in shared_api.get("/v1/studies?state=signed")["items"]] == [uid]
    assert shared_api.get("/v1/studies?state=to review&limit=2")["total"] == 5


def test_no_study_shows_who_the_patient_was(shared_api: Any) -> None:
    text = json.dumps(shared_api.get("/v1/studies")) + json.dumps(
        shared_api.get(f"/v1/studies/{shared_api.uids[0]}/explanation")
    )
    for name in ("Grablowski", "MRN0", "19510203", "20200304", "1.2.3."):
        assert name not in text


def test_an_explanation_is_that_of_the_service(shared_api: Any) -> None:
    uid = shared_api.uids[0]
    answer = shared_api.ask("GET", f"/v1/studies/{uid}/explanation")
    expected = StudyExplainer(shared_api.workspace, "random").explain(uid)
    assert rounded(answer.json()) == rounded(json.loads(json.dumps(expected.to_dict())))
    assert read_explanation(answer.text).study == uid


def test_it_is_worked_out_once_and_not_sent_twice(make_api: Any) -> None:
    api = make_api()
    address = f"/v1/studies/{api.uids[0]}/explanation"
    first = api.ask("GET", address)
    assert first.headers["Cache-Control"] == "private, no-cache"
    for given, status in (
        (None, 200),
        (first.headers["ETag"], 304),
        (f'W/"x", {first.headers["ETag"]}', 304),
        ('"x"', 200),
    ):
        answer = api.ask("GET", address, headers={} if given is None else {"If-None-Match": given})
        assert answer.status_code == status
        assert answer.headers["ETag"] == first.headers["ETag"]
    assert made(api) == 1


def test_many_who_ask_at_once_are_all_answered(make_api: Any) -> None:
    api = make_api(burst=1000)
    uids = api.uids
    with ThreadPoolExecutor(16) as pool:
        asked = [uids[number % 6] for number in range(96)]
        answers = list(pool.map(lambda uid: api.ask("GET", f"/v1/studies/{uid}/explanation"), asked))
    assert {one.status_code for one in answers} == {200}
    assert [one.json()["study"] for one in answers] == asked
    assert len({one.headers["ETag"] for one in answers}) == 6


def test_who_comes_when_too_many_wait_is_told_to_come_back(make_api: Any) -> None:
    import threading

    api = make_api(waiting=1, waiting_s=0.05)
    held, free = api.app.state.held, threading.Event()
    held.turns.begin(free.wait)
    first, second = (f"/v1/studies/{uid}/explanation" for uid in api.uids[:2])
    try:
        slow = api.ask("GET", first)  # waits longer than it may; the question stays in the line
        full = api.ask("GET", second)
    finally:
        free.set()
    for answer in (slow, full):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_patch_in_force_makes_another_explanation(make_api: Any) -> None:
    api = make_api()
    address = f"/v1/studies/{api.uids[0]}/explanation"
    plain = api.get(address)
    patch = api.get("/v1/patches", Role.ENGINEER)["items"][0]["id"]
    api.ask("POST", f"/v1/patches/{patch}/apply", Role.ENGINEER, json={"note": "agreed"})
    assert api.get(address)["patch"]["id"] == patch
    assert api.get(f"{address}?patched=false") == {**plain, "warnings": api.get(f"{address}?patched=false")["warnings"]}
    api.ask("POST", f"/v1/patches/{patch}/revoke", Role.ENGINEER, json={"note": "undone"})
    assert api.get(address)["patch"] is None


def test_a_review_shows_where_it_is_named_as_similar(make_api: Any) -> None:
    api = make_api()
    for uid in api.uids:  # once each was encoded, they are found as similar to each other
        api.get(f"/v1/studies/{uid}/explanation")
    api.app.state.held.explainer().surroundings.gather("c")
    api.app.state.held._pages.clear()
    address = f"/v1/studies/{api.uids[0]}/explanation"
    beside = api.get(address)["similar"]
    other = beside[0]["study"]
    assert beside[0]["review"] == "to review"
    api.ask("POST", f"/v1/studies/{other}/reviews", json={"based_on": ""})
    assert {one["study"]: one["review"] for one in api.get(address)["similar"]}[other] == "signed"


def test_corrections_can_be_tried_and_leave_nothing(shared_api: Any) -> None:
    uid = shared_api.uids[1]
    first = shared_api.get(f"/v1/studies/{uid}/explanation")
    concept = first["concepts"][0]["id"]
    answer = shared_api.ask("POST", f"/v1/studies/{uid}/explanation", json={"answers": {concept: "absent"}})
    assert answer.status_code == 200
    assert answer.json()["corrections"] == {concept: 0.0}
    expected = StudyExplainer(shared_api.workspace, "random").explain(uid, corrections={concept: 0.0})
    assert answer.json()["margin"] == pytest.approx(expected.margin)
    assert shared_api.get(f"/v1/studies/{uid}/explanation")["corrections"] == {}
    assert shared_api.get(f"/v1/studies/{uid}/reviews")["items"] == []


@pytest.mark.parametrize(
    ("query", "concept", "status", "code"),
    [("", "nothing", 422, "unknown-concept"), ("?model=other", "concept_1", 404, "unknown-model")],
)
def test_names_that_are_not_there_are_refused(
    shared_api: Any, query: str, concept: str, status: int, code: str
) -> None:
    address = f"/v1/studies/{shared_api.uids[0]}/explanation{query}"
    answer = shared_api.ask("POST", address, json={"answers": {concept: "absent"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_view_is_audited_once_for_each_token_and_study(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    for who in (Role.CLINICIAN, Role.CLINICIAN, "other"):
        api.get(f"/v1/studies/{uid}", who)
        api.get(f"/v1/studies/{uid}/explanation", who)
    told = [(one.actor, one.subject) for one in audit.entries(api.workspace) if one.action == "study.view"]
    assert told == [("the clinician", uid), ("the other", uid)]


def test_nothing_is_shown_that_cannot_be_audited(make_api: Any) -> None:
    api = make_api()
    uid = api.uids[0]
    log = api.workspace.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b"study.list", b"study.lost"))
    answer = api.ask("GET", f"/v1/studies/{uid}/explanation", "other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit-broken")
