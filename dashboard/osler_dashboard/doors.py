"""What the server answers before Streamlit does: the page to sign in, the one-time address, and no page to strangers."""

from __future__ import annotations

import os
import re
import secrets
import sys
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from osler.access import Person, Role
from osler.access.roles import parse_roles
from osler_contracts.errors import OslerError
from osler_dashboard import session
from osler_dashboard.components.assets import asset
from osler_dashboard.settings import (
    BROWSER_VARIABLE,
    COOKIE,
    HEADERS,
    LOCAL_NAME_VARIABLE,
    LOCAL_ROLES_VARIABLE,
    LOOPBACK,
)

SIGN_IN, ENTER, HOSPITAL = "/sign-in", "/enter", "hospital"
STREAMLIT_COOKIE = "_streamlit_user"
AT_TERMINAL = "Open the address that the terminal shows where `osler dashboard` runs: it lets you in."
NO_ACCOUNTS = "There are no accounts yet. Who looks after Osler here adds one with `osler accounts add`."
LARGEST = 8192  # bytes of a sent form
_INSIDE = re.compile(r"/(?!/)[A-Za-z0-9_/-]*(\?[A-Za-z0-9_=&%-]*)?")
_KEPT = ("/media/", "/_stcore/upload_file")  # what only who is signed in may fetch or send


def routes() -> Sequence[BaseRoute]:
    """Return the addresses that are ours."""
    return [Route(SIGN_IN, sign_in, methods=["GET", "POST"]), Route(ENTER, enter, methods=["GET"])]


def hospital_secrets() -> dict[str, Any] | None:
    """Return what Streamlit's `auth` asks for, None where the hospital's log-in is not set up.

    Its cookies are signed with a secret of this start: they end with the server.
    """
    hospital = session.gate().hospital
    return None if hospital is None else hospital.secrets(secrets.token_urlsafe(32))


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Tell in the terminal how to get in, where there are no accounts."""
    if os.environ.get(LOCAL_NAME_VARIABLE):
        address = announce()
        if os.environ.get(BROWSER_VARIABLE):
            webbrowser.open(address)
    yield


def announce() -> str:
    """Make a one-time address for the person at this terminal, print it and return it.

    Raises:
        OslerError: `not-allowed` as `Gate.open_door`.
    """
    names = (os.environ.get(LOCAL_ROLES_VARIABLE) or " ".join(Role)).split()
    token = session.gate().open_door(Person(os.environ[LOCAL_NAME_VARIABLE], parse_roles(names), via="local"))
    address = f"{_base()}{ENTER}?token={token}"
    print(f"Open {address} (good once, on this computer alone; another follows here).", file=sys.stderr, flush=True)
    return address


def _base() -> str:
    return f"http://localhost:{config.get_option('server.port')}"


async def enter(request: Request) -> Response:
    """Let in who brings the token of the terminal."""
    if config.get_option("server.address") not in LOOPBACK or not os.environ.get(LOCAL_NAME_VARIABLE):
        return PlainTextResponse("Not found", 404)
    try:
        number = session.gate().enter(request.query_params.get("token", ""))
        announce()
    except OslerError as error:
        return _page(request, error, status=403)
    return _with_cookie(request, number, "/")


async def sign_in(request: Request) -> Response:
    """Show the form, or take what was written into it."""
    wanted = _inside(request.query_params.get("next", "/"))
    if request.method == "GET":
        return _page(request, None, wanted=wanted)
    if not _ours(request):
        return PlainTextResponse("Not allowed", 403)
    form = await _form(request)
    try:
        number = await run_in_threadpool(session.gate().sign_in, form.get("name", ""), form.get("password", ""))
    except OslerError as error:
        return _page(request, error, wanted=wanted, name=form.get("name", ""), status=403)
    if before := request.cookies.get(_cookie()):
        session.gate().sign_out(before)
    return _with_cookie(request, number, wanted)


def _inside(address: str) -> str:
    """Return an address where it leads to a page of ours, else the first page."""
    return address if len(address) < 500 and _INSIDE.fullmatch(address) else "/"


def _ours(request: Request) -> bool:
    """Return whether a form was sent from our own page."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            return {}
    try:
        return {name: values[-1] for name, values in parse_qs(body.decode("utf-8"), max_num_fields=8).items()}
    except ValueError:
        return {}


def _with_cookie(request: Request, number: str, address: str) -> Response:
    answer = RedirectResponse(address, 303)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    answer.set_cookie(_cookie(), number, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


def _cookie() -> str:
    return f"{COOKIE}_{config.get_option('server.port')}"


def _page(
    request: Request, error: OslerError | None, *, wanted: str = "/", name: str = "", status: int = 200
) -> HTMLResponse:
    gate = session.gate()
    try:
        accounts = bool(gate.accounts.all())
    except OslerError as broken:
        accounts, error = False, broken
    told = f'<p class="told" role="alert">{escape(error.message)} {escape(error.mend)}</p>' if error else ""
    if gate.hospital is not None:
        title = escape(gate.hospital.title)
        told += f'<p><a class="button" href="/?{HOSPITAL}=1">{title}</a></p>'
    page = asset("sign-in.html").replace("{{style}}", asset("sign-in.css"))
    page = page.replace("{{form}}", asset("sign-in-form.html") if accounts else _no_accounts(gate.hospital is not None))
    page = page.replace("{{told}}", told).replace("{{next}}", quote(wanted, safe="")).replace("{{name}}", escape(name))
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


def _no_accounts(hospital: bool) -> str:
    if hospital:
        return ""
    return f"<p>{escape(AT_TERMINAL if os.environ.get(LOCAL_NAME_VARIABLE) else NO_ACCOUNTS)}</p>"


class SignInFirst:
    """Sends who is not signed in to the page to sign in, and sets the headers that every answer has.

    The pages check again themselves: this keeps strangers from even reaching them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(Request(scope))
        await (refused or self._app)(scope, receive, headed)

    def _refused(self, request: Request) -> Response | None:
        path = request.url.path
        if path in (SIGN_IN, ENTER) or _signed_in(request):
            return None
        if path.startswith(_KEPT):
            return PlainTextResponse("Sign in first", 401)
        page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        if not page or path.startswith(("/_stcore", "/static", "/auth", "/oauth2callback")):
            return None
        if HOSPITAL in request.query_params and session.gate().hospital is not None:
            return None
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{SIGN_IN}?next={quote(_inside(path + query), safe='')}", 303)


def _signed_in(request: Request) -> bool:
    try:
        gate = session.gate()
        if gate.hospital is not None and STREAMLIT_COOKIE in request.cookies:
            return True  # Streamlit checks its signature, and the page its expiry
        gate.person(request.cookies.get(_cookie()), step=False)
    except OslerError:
        return False
    return True
