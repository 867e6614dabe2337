"""Limits hold whatever the times and sizes, and let through what they should."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from osler.api.limits import BodyLimit, RateLimit, too_many

GAPS = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=80)


@given(GAPS, st.integers(1, 20), st.floats(1, 600))
def test_no_span_lets_more_through_than_burst_and_rate_allow(gaps: list[float], burst: int, rate: float) -> None:
    now = 0.0
    limit = RateLimit(rate, burst, clock=lambda: now)
    passed = []
    for gap in gaps:
        now += gap
        if limit.take("a") == 0.0:
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span = passed[last] - passed[first]
            assert last - first + 1 <= burst + span * rate / 60 + 1e-6


@given(GAPS, st.integers(1, 20), st.floats(1, 600))
def test_who_waits_as_long_as_told_is_let_through(gaps: list[float], burst: int, rate: float) -> None:
    now = 0.0
    limit = RateLimit(rate, burst, clock=lambda: now)
    for gap in gaps:
        now += gap
        wait = limit.take("a")
        if wait > 0:
            now += wait
            assert limit.take("a") == 0.0


def test_holders_do_not_spend_each_others_requests() -> None:
    limit = RateLimit(1, 2, clock=lambda: 0.0)
    assert [limit.take("a") > 0 for _ in range(3)] == [False, False, True]
    assert limit.take("b") == 0.0


def test_the_header_says_whole_seconds_that_are_enough() -> None:
    assert too_many(0.2)[1] == {"Retry-After": "1"}
    assert too_many(2.1)[1] == {"Retry-After": "3"}


async def _sent(parts: list[bytes], most: int, declared: str | None = None, pause: float = 0.0) -> tuple[int, bytes]:
    """Send parts of a body through the limit; return the status and what the application read."""
    waiting, out, read = list(parts), [], bytearray()

    async def receive() -> Message:
        await asyncio.sleep(pause)
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        out.append(message)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            read.extend(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    headers = [] if declared is None else [(b"content-length", declared.encode())]
    await BodyLimit(app, most, seconds=0.05 if pause else 60)({"type": "http", "headers": headers}, receive, send)
    return out[0]["status"], bytes(read)


@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 60))
def test_a_body_passes_whole_or_not_at_all(parts: list[bytes], most: int) -> None:
    status, read = asyncio.run(_sent(parts, most))
    body = b"".join(parts)
    assert (status, read) == ((200, body) if len(body) <= most else (413, b""))


@pytest.mark.parametrize("declared", ["11", "9" * 30])
def test_a_body_that_says_it_is_too_large_is_not_read(declared: str) -> None:
    assert asyncio.run(_sent([b"x"], 10, declared)) == (413, b"")


def test_a_body_that_trickles_in_is_given_up() -> None:
    assert asyncio.run(_sent([b"x"] * 50, 100, pause=0.01)) == (408, b"")
