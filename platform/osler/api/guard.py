"""What stands before every address: who asks, how often, the headers of every answer, and no failure without an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from osler import audit
from osler.access.roles import Action, Person, require_action
from osler.api.errors import problem, unforeseen
from osler.api.held import Held
from osler.api.limits import too_many
from osler.api.tokens import Token
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

OPEN = frozenset({"/health/live", "/health/ready"})  # asked by what starts and stops servers; they tell nothing of data
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})
REFUSED, REFUSED_EVERY_S = "api.refused", 60.0  # a flood of wrong tokens must not fill the audit log


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        token: The token that was shown.
        person: Its holder, with the roles that hold now.
    """

    token: Token
    person: Person


bearer = HTTPBearer(auto_error=False, description="A token of `osler api token issue`", scheme_name="token")


def held_of(request: Request) -> Held:
    """Return what the server holds."""
    found: Held = request.app.state.held
    return found


def needs(action: Action | None) -> Callable[..., Caller]:
    """Return a dependency that refuses who may not do something; None asks for a good token alone."""

    def check(request: Request, _shown: Annotated[Any, Security(bearer)]) -> Caller:
        caller: Caller = request.scope["state"]["caller"]
        if action is not None:
            require_action(caller.person, action)
        _require_known(request)
        return caller

    return check


def _require_known(request: Request) -> None:
    """Refuse a query that holds what the address does not take: `sites=a` must not answer with every site.

    Raises:
        OslerError: `request-invalid`.
    """
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    if set(request.query_params) - known:
        raise OslerError(
            Code.REQUEST_INVALID,
            "The query holds a name that this address does not take.",
            f"It takes {', '.join(sorted(known)) or 'none'}.",
        )


Server = Annotated[Held, Depends(held_of)]


class Guard:
    """The outermost layer.

    Args:
        app: What answers who may ask.
        held: What the server holds.
    """

    def __init__(self, app: ASGIApp, held: Held) -> None:
        self._app, self._held = app, held
        self._refused_at, self._since = float("-inf"), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope, receive, headed)
        except Exception as error:  # noqa: BLE001 - every failure has an answer of our shape
            if status:  # half of an answer is out: the connection breaks, and the log says where
                unforeseen(error, self._held.workspace.root)
            else:
                await unforeseen(error, self._held.workspace.root)(scope, receive, headed)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._held.metrics.observe(method, _template(scope), status or 500, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in OPEN:
            try:
                token, person = self._held.tokens.holder(_shown(scope))
            except OslerError as error:
                self._held.metrics.refused.inc()
                if error.code in (Code.TOKEN_REFUSED, Code.TOKEN_EXPIRED):
                    with suppress(OslerError):  # without an audit log it is refused all the same
                        await self._note(error)
                await problem(error)(scope, receive, send)
                return
            wait = self._held.rates.take(token.id)
            if wait > 0:
                self._held.metrics.limited.inc()
                often, headers = too_many(wait)
                await problem(often, headers=headers)(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = Caller(token, person)
        await self._app(scope, receive, send)

    async def _note(self, error: OslerError) -> None:
        """Write refusals into the audit log, one entry a minute with how many there were."""
        self._since += 1
        now = time.monotonic()
        if now - self._refused_at < REFUSED_EVERY_S:
            return
        told = {"requests": str(self._since), "code": str(error.code)}
        self._refused_at, self._since = now, 0
        await run_in_threadpool(
            audit.record, self._held.workspace, actor="unknown", action=REFUSED, subject="token", details=told
        )


def _shown(scope: Scope) -> str | None:
    """Return the token that a request shows (RFC 6750, 2.1); never one from its address, which logs keep."""
    scheme, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "none"))
