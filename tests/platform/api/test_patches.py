"""Patches by the API: listed, compared, put in force and undone, with a reason that stays."""

from __future__ import annotations

from typing import Any

import pytest

from osler import audit
from osler.access.roles import Role
from osler.adapt.store import PatchStore


def ids(api: Any) -> list[str]:
    return [one["id"] for one in api.get("/v1/patches", Role.ENGINEER)["items"]]


def test_patches_are_those_of_the_store(shared_api: Any) -> None:
    found = shared_api.get("/v1/patches", Role.ENGINEER)
    held = PatchStore(shared_api.workspace.patches).all()
    assert [one["id"] for one in found["items"]] == [one.id for one in held]
    assert found["items"][0]["model_name"] == "random"
    assert shared_api.get("/v1/patches?limit=1&offset=1", Role.ENGINEER)["items"] == found["items"][1:]
    assert shared_api.get("/v1/patches?site=elsewhere", Role.ENGINEER)["total"] == 0
    for one in found["items"]:
        assert shared_api.get(f"/v1/patches/{one['id']}", Role.ENGINEER) == one


def test_two_patches_are_compared(shared_api: Any) -> None:
    first, second = ids(shared_api)
    store = PatchStore(shared_api.workspace.patches)
    found = shared_api.get(f"/v1/patches/{first}/diff?other={second}", Role.ENGINEER)["differences"]
    assert found == store.get(first).diff(store.get(second))
    assert found
    assert shared_api.get(f"/v1/patches/{first}/diff?other={first}", Role.ENGINEER)["differences"] == []


def test_one_patch_is_in_force_at_a_time_and_each_step_is_audited(make_api: Any) -> None:
    api = make_api()
    first, second = ids(api)
    for name in (first, second):
        answer = api.ask("POST", f"/v1/patches/{name}/apply", Role.ENGINEER, json={"note": "agreed on Monday"})
        assert (answer.status_code, answer.json()["status"]) == (200, "active")
        assert answer.json()["history"][-1]["note"] == "the engineer: agreed on Monday"
    states = {one["id"]: one["status"] for one in api.get("/v1/patches", Role.ENGINEER)["items"]}
    assert states == {first: "revoked", second: "active"}
    answer = api.ask("POST", f"/v1/patches/{second}/revoke", Role.ENGINEER, json={"note": "undone"})
    assert answer.json()["status"] == "revoked"
    told = [(one.actor, one.action, one.subject) for one in audit.entries(api.workspace) if "patch." in one.action]
    actor = "the engineer"
    assert told == [(actor, "patch.apply", first), (actor, "patch.apply", second), (actor, "patch.revoke", second)]


@pytest.mark.parametrize("body", [{}, {"note": ""}, {"note": "  "}, {"note": "a\nb"}, {"note": "a", "force": True}])
def test_a_patch_is_not_switched_without_a_reason(shared_api: Any, body: dict[str, object]) -> None:
    name = ids(shared_api)[0]
    answer = shared_api.ask("POST", f"/v1/patches/{name}/apply", Role.ENGINEER, json=body)
    assert answer.status_code == 422
    assert shared_api.get(f"/v1/patches/{name}", Role.ENGINEER)["status"] == "proposed"


def test_a_patch_that_is_not_there_is_not_found(shared_api: Any) -> None:
    for method, address in (("GET", ""), ("POST", "/apply"), ("POST", "/revoke")):
        more = {"json": {"note": "a"}} if method == "POST" else {}
        answer = shared_api.ask(method, f"/v1/patches/{'0' * 12}{address}", Role.ENGINEER, **more)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-patch")


def test_a_patch_of_a_model_that_is_gone_is_not_put_in_force(make_api: Any) -> None:
    api = make_api()
    name = ids(api)[0]
    (api.workspace.models / "random" / "bottleneck.json").unlink()
    answer = api.ask("POST", f"/v1/patches/{name}/apply", Role.ENGINEER, json={"note": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "patch-invalid")


def test_a_file_that_cannot_be_read_is_named(make_api: Any) -> None:
    api = make_api()
    (api.workspace.patches / "broken.json").write_text("{")
    found = api.get("/v1/patches", Role.ENGINEER)
    assert list(found["unreadable"]) == ["broken.json"]
    assert found["total"] == 2
