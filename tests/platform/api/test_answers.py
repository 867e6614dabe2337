"""What every answer has: headers, one shape of failure, figures; and no value that was sent."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from osler.access.roles import Role
from osler.api import errors, health
from osler.api.app import describe
from osler.explain.schema import read_explanation
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SECRET = "Zenobia-Grablowski-MRN00001"


def families(api: Any) -> dict[str, Any]:
    text = api.ask("GET", "/metrics", Role.ENGINEER).text
    return {one.name: one for one in text_string_to_metric_families(text)}


@pytest.mark.parametrize("address", ["/health/live", "/v1/me", "/v1/nothing", "/v1/studies"])
def test_every_answer_has_the_headers_that_browsers_heed(shared_api: Any, address: str) -> None:
    headers = shared_api.ask("GET", address).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_page_of_elsewhere_may_not_ask(shared_api: Any) -> None:
    answer = shared_api.ask(
        "OPTIONS", "/v1/studies", headers={"Origin": "https://elsewhere", "Access-Control-Request-Method": "GET"}
    )
    assert answer.status_code == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "address", "more", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "unknown-address"),
        ("PUT", "/v1/studies", {}, 405, "method-not-allowed"),
        ("GET", "/v1/studies/1.2.3", {}, 404, "unknown-study"),
        ("GET", f"/v1/studies/{SECRET}", {}, 422, "request-invalid"),
        ("GET", "/v1/studies?limit=0", {}, 422, "request-invalid"),
        ("GET", f"/v1/studies?offset={SECRET}", {}, 422, "request-invalid"),
        ("GET", f"/v1/studies?state={SECRET}", {}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"content": b"{"}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"content": b"\xff\xfe"}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"json": {SECRET: SECRET}}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"json": {"answers": {f"{SECRET} !": "no"}}}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"json": {"answers": {"a": SECRET}}}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"json": {"based_on": SECRET}}, 422, "request-invalid"),
        ("POST", "/v1/studies/1.2.3/reviews", {"content": b"x" * 70_000}, 413, "request-too-large"),
    ],
)
def test_a_failure_says_what_to_do_and_never_what_was_sent(
    shared_api: Any, method: str, address: str, more: dict[str, Any], status: int, code: str
) -> None:
    answer = shared_api.ask(method, address, **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "mend", "details"}
    assert error["message"]
    assert error["mend"]
    assert SECRET not in answer.text


def test_what_nobody_foresaw_is_told_without_its_trace(shared_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(shared_api.app.state.held, "study", fail)
    answer = shared_api.ask("GET", "/v1/studies/1.2.3")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "internal")
    assert SECRET not in answer.text
    log = (shared_api.workspace.cache / errors.LOG).read_text()
    assert error["details"]["reference"] in log
    assert "ValueError" in log
    assert SECRET not in log


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_status_that_is_described(code: Code) -> None:
    status = errors.status_of(OslerError(code, "a", "b"))
    assert status in {401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 503}


def test_who_asks_too_often_is_told_when_to_come_back(make_api: Any) -> None:
    api = make_api(rate=1.0, burst=3)
    answers = [api.ask("GET", "/v1/me") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert api.ask("GET", "/v1/me", "other").status_code == 200
    assert families(api)["osler_api_requests_limited"].samples[0].value == 1


def test_figures_name_addresses_by_template(make_api: Any) -> None:
    api = make_api()
    for uid in api.uids:
        api.get(f"/v1/studies/{uid}")
    found = families(api)
    counts = {
        (one.labels["route"], one.labels["status"]): one.value
        for one in found["osler_api_requests"].samples
        if one.name.endswith("_total")
    }
    assert counts["/v1/studies/{study}", "200"] == 6
    assert found["osler_archive_studies"].samples[0].value == 6
    seconds = {
        one.labels["route"]: one.value for one in found["osler_api_request_seconds"].samples if "_count" in one.name
    }
    assert seconds["/v1/studies/{study}"] == 6


def test_a_server_without_its_model_or_disk_is_not_ready(make_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api = make_api()
    assert api.client.get("/health/ready").status_code == 200
    monkeypatch.setattr(health, "ASKED_AGAIN_S", 1e-6)
    record = api.workspace.models / "random" / "bottleneck.json"
    record.write_text("{}")
    monkeypatch.setattr(health, "LEAST_FREE", 1 << 80)
    answer = api.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["details"] == {"model": "failed", "disk": "failed"}
    assert api.client.get("/health/live").status_code == 200


def test_the_example_of_an_explanation_is_one() -> None:
    import json

    described = describe()["paths"]["/v1/studies/{study}/explanation"]["get"]["responses"]["200"]
    assert read_explanation(json.dumps(described["content"]["application/json"]["example"])).study


def test_every_failure_is_described_with_an_example_and_the_one_shape() -> None:
    for path, methods in describe()["paths"].items():
        for method, operation in methods.items():
            for status, told in operation["responses"].items():
                if int(status) >= 400:
                    content = told["content"]["application/json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/Failure"}, (path, method, status)
                    assert errors.Failure.model_validate(content["example"]).error.code


def test_a_query_with_a_name_that_is_not_taken_is_refused(shared_api: Any) -> None:
    answer = shared_api.ask("GET", "/v1/studies?sites=c")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "request-invalid")
    assert "limit, offset, site, state" in answer.json()["error"]["mend"]
    assert shared_api.ask("GET", "/v1/me?a=1").status_code == 422
