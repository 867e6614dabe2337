"""What the server answers before any page: the form to sign in, the one-time address, and nothing to strangers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config

from osler import audit
from osler.workspace import Workspace
from osler_dashboard import doors, mishaps, session

PASSWORD, BASE = "four plain words here", "http://localhost:8501"
PAGE = {"accept": "text/html,*/*"}


async def _inside(request: Request) -> HTMLResponse:
    return HTMLResponse(f"inside {request.url.path}")


async def _fails(_request: Request) -> PlainTextResponse:
    raise RuntimeError("DOE^JANE")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("OSLER_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("OSLER_ACCOUNTS_FILE", raising=False)
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    """A browser before our doors, with something behind them."""
    before = config.get_option("server.address")
    config.set_option("server.address", "127.0.0.1")
    inside = [Route("/fails", _fails), Route("/{path:path}", _inside, methods=["GET", "POST", "PUT"])]
    app = Starlette(
        routes=[*doors.routes(), *inside],
        middleware=[Middleware(doors.SignInFirst)],
        exception_handlers={Exception: mishaps.answer},
    )
    yield TestClient(app, base_url=BASE, follow_redirects=False, raise_server_exceptions=False)
    config.set_option("server.address", before)


@pytest.fixture
def ada(workspace: Workspace) -> str:
    session.gate().accounts.add("Dr Ada", ["clinician"], PASSWORD, actor="root")
    return "Dr Ada"


def sign_in(client: TestClient, name: str, password: str = PASSWORD, wanted: str = "/", **headers: str) -> Any:
    return client.post("/sign-in", params={"next": wanted}, data={"name": name, "password": password}, headers=headers)


@pytest.mark.parametrize("path", ["/", "/sites", "/study?study=hospital-b-study-0001", "/no-such-page"])
def test_a_stranger_is_sent_to_the_form_and_back_to_the_page_after(client: TestClient, ada: str, path: str) -> None:
    answer = client.get(path, headers=PAGE)
    assert answer.status_code == 303
    form = client.get(answer.headers["location"], headers=PAGE)
    action = re.search(r'action="([^"]+)"', form.text)
    assert action
    came = client.post(action[1], data={"name": ada, "password": PASSWORD})
    assert (came.status_code, came.headers["location"]) == (303, path)
    assert client.get(path, headers=PAGE).text.startswith("inside")


@pytest.mark.parametrize("path", ["/media/abc.png", "/_stcore/upload_file/a/b"])
def test_a_stranger_fetches_and_sends_no_file(client: TestClient, ada: str, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.put(path, content=b"x").status_code == 401
    sign_in(client, ada)
    assert client.get(path).status_code == 200


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: TestClient, ada: str) -> None:
    cookie = sign_in(client, ada).headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    assert name == f"osler_session_{config.get_option('server.port')}"
    assert "HttpOnly" in rest
    assert "SameSite=strict" in rest
    assert "Max-Age" not in rest, "it ends with the browser"
    assert "Secure" not in rest
    secure = TestClient(client.app, base_url="https://osler.example", follow_redirects=False)
    assert "Secure" in sign_in(secure, ada).headers["set-cookie"]
    assert "Secure" in sign_in(client, ada, **{"x-forwarded-proto": "https"}).headers["set-cookie"]


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/" + "a" * 600,
        "",
        "sites",
        "/?a=<script>",
    ],
)
def test_signing_in_leads_nowhere_else(client: TestClient, ada: str, wanted: str) -> None:
    answer = sign_in(client, ada, wanted=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert len(answer.headers.get_list("set-cookie")) == 1


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_form_on_another_site_signs_nobody_in(client: TestClient, ada: str, headers: dict[str, str]) -> None:
    answer = sign_in(client, ada, **headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "{{form}}{{told}}", "x" * 80, "\x00\x1b[2J"])
def test_a_refusal_shows_the_name_inertly_and_the_password_never(client: TestClient, ada: str, name: str) -> None:
    answer = sign_in(client, name, "the secret that was typed")
    assert answer.status_code == 403
    assert "<script" not in answer.text
    assert "typed" not in answer.text
    assert "do not belong together" in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_guessing_is_answered_with_a_wait(client: TestClient, ada: str) -> None:
    for _ in range(3):
        assert "do not belong together" in sign_in(client, ada, "wrong wrong wrong").text
    answer = sign_in(client, ada)
    assert answer.status_code == 403
    assert "Try again in" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"x" * 100_000, b"name=%ff%fe&password=x", b"&".join([b"a=b"] * 50), b"{}"])
def test_a_form_that_is_none_is_refused(client: TestClient, ada: str, body: bytes) -> None:
    answer = client.post("/sign-in", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_signing_in_again_ends_the_session_before(client: TestClient, ada: str, workspace: Workspace) -> None:
    first = sign_in(client, ada).cookies
    assert client.get("/", headers=PAGE).status_code == 200
    sign_in(client, ada)
    client.cookies.clear()
    client.cookies.update(first)
    assert client.get("/", headers=PAGE).status_code == 303
    told = [one.action for one in audit.entries(workspace) if one.action.startswith("access.")]
    assert told == ["access.sign-in", "access.sign-in", "access.sign-out"]


def test_every_answer_keeps_to_itself(client: TestClient, ada: str) -> None:
    for path in ("/", "/sign-in", "/_stcore/health", "/static/x.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy, "no other host is named"
        assert "frame-ancestors 'none'" in policy
        assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("same-origin", "nosniff")


def test_a_mishap_is_told_by_reference_and_logged_without_values(client: TestClient, workspace: Workspace) -> None:
    answer = client.get("/fails")
    reference = re.search(r"reference ([0-9a-f]{8})", answer.text)
    assert answer.status_code == 500
    assert reference
    log = (workspace.cache / mishaps.LOG).read_text()
    assert f"{reference[1]} RuntimeError at test_doors.py" in log
    assert "DOE" not in log + answer.text


class TestTerminal:
    """The address that the terminal shows, where there are no accounts."""

    @pytest.fixture(autouse=True)
    def _local(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OSLER_LOCAL_NAME", "ada")
        monkeypatch.setenv("OSLER_LOCAL_ROLES", "engineer")

    def test_it_lets_in_once_and_another_follows(
        self, client: TestClient, capsys: pytest.CaptureFixture[str], workspace: Workspace
    ) -> None:
        address = doors.announce()
        assert address.startswith("http://localhost:")
        path = address.partition("8501")[2]
        answer = client.get(path, headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client.get("/sites", headers=PAGE).text == "inside /sites"
        client.cookies.clear()
        again = client.get(path, headers=PAGE)
        assert again.status_code == 403
        assert "has been used" in again.text
        shown = re.findall(r"Open (\S+)", capsys.readouterr().err)
        assert len(set(shown)) == 2
        assert client.get(shown[-1].partition("8501")[2]).status_code == 303
        assert [(one.actor, one.action) for one in audit.entries(workspace)] == [
            ("ada", "access.sign-in"),
            ("unknown", "access.refused"),
            ("ada", "access.sign-in"),
        ]

    def test_without_accounts_the_form_points_to_the_terminal(self, client: TestClient) -> None:
        assert "terminal" in client.get("/sign-in").text
        assert "<form" not in client.get("/sign-in").text

    def test_it_does_not_exist_beyond_this_computer(self, client: TestClient) -> None:
        path = doors.announce().partition("8501")[2]
        for place in ("0.0.0.0", "192.168.1.2", None):
            config.set_option("server.address", place)
            assert client.get(path).status_code == 404

    def test_it_is_shut_once_there_are_accounts(self, client: TestClient) -> None:
        path = doors.announce().partition("8501")[2]
        session.gate().accounts.add("Boss", ["administrator"], PASSWORD, actor="ada")
        answer = client.get(path)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "sign in with one" in answer.text


def test_beyond_this_computer_the_form_says_that_accounts_are_missing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSLER_LOCAL_NAME", raising=False)
    assert "osler accounts add" in client.get("/sign-in").text


def test_there_is_no_such_address_unless_the_command_asked_for_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSLER_LOCAL_NAME", raising=False)
    assert client.get("/enter?token=x").status_code == 404
