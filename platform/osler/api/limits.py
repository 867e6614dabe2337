"""Limits: how often a token may ask, how large and how slow a request may be."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from osler.api.errors import problem
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

HOLDERS = 10_000  # tokens whose rate is held at once; the one that asked longest ago is forgotten first


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """A bucket for each token: full at first, refilled evenly, one drop a request (token bucket).

    In any time t a holder is let through at most burst + rate * t / 60 times.

    Args:
        rate: Requests a minute in the long run.
        burst: Requests at once after a pause.
        clock: Seconds; `time.monotonic` unless a test says otherwise.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._burst, self._clock = rate / 60.0, float(burst), clock
        self._held: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, holder: str) -> float:
        """Let one request through and return 0, or return the seconds after which the next one is let through."""
        now = self._clock()
        held = self._held.pop(holder, None) or _Bucket(self._burst, now)
        left = min(self._burst, held.left + max(0.0, now - held.at) * self._each)
        passed = left >= 1.0 - 1e-9  # sums of many small refills fall short by rounding
        self._held[holder] = _Bucket(max(0.0, left - 1.0) if passed else left, now)
        while len(self._held) > HOLDERS:
            self._held.popitem(last=False)
        return 0.0 if passed else (1.0 - left) / self._each


def too_many(wait: float) -> tuple[OslerError, dict[str, str]]:
    """Return the error of a token that asks too often, and the header that says when to come back."""
    seconds = max(1, math.ceil(wait))
    error = OslerError(
        Code.TOO_MANY_REQUESTS, "This token asks more often than it may.", f"Try again in {seconds} seconds."
    )
    return error, {"Retry-After": str(seconds)}


class _TooLargeError(Exception):
    """The body has grown beyond the limit."""


class BodyLimit:
    """Refuses bodies that are too large or too slow, before anything reads them whole.

    Args:
        app: What answers the others.
        most: Bytes of the largest body.
        seconds: Within which it must have arrived.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with its body already here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._require_declared(Headers(scope=scope))
            async with asyncio.timeout(self._seconds):
                messages = await self._read(receive)
        except _TooLargeError:
            error = OslerError(
                Code.REQUEST_TOO_LARGE, "The request is too large.", f"Send a body of up to {self._most} bytes."
            )
            await problem(error, headers={"Connection": "close"})(scope, receive, send)
        except TimeoutError:
            error = OslerError(Code.TIMED_OUT, "The request did not arrive in time.", "Send it again.")
            await problem(error, headers={"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, _replay(messages, receive), send)

    def _require_declared(self, headers: Headers) -> None:
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > self._most):
            raise _TooLargeError

    async def _read(self, receive: Receive) -> list[Message]:
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._most:
                raise _TooLargeError
            if message["type"] != "http.request" or not message.get("more_body", False):
                return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return again
