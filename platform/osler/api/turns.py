"""Turns at the processor: explanations wait in one line, a bounded one, and two callers with one question share the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

T = TypeVar("T")


class Turns:
    """One thread that all work on models goes through: a model is not asked two things at once.

    Args:
        most: Questions that may wait; the next one is refused.
        seconds: How long one may wait.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._thread = _thread()
        self._closed = False
        self._asked: dict[Hashable, Future[Any]] = {}

    @property
    def waiting(self) -> int:
        """Questions that wait or are being answered."""
        return len(self._asked)

    async def run(self, name: Hashable, work: Callable[[], T]) -> T:
        """Return what the work returns, once it is its turn.

        Args:
            name: What is asked: the same name means the same answer, so that it is worked out once.
            work: How to work it out.

        Raises:
            OslerError: `overloaded` where too many wait, or this one waited too long; what the work raises.
        """
        held = self._asked.get(name)
        if held is None:
            if len(self._asked) >= self._most:
                raise _overloaded()
            held = self._asked[name] = self._thread.submit(work)
            loop = asyncio.get_running_loop()
            held.add_done_callback(lambda _: loop.call_soon_threadsafe(self._asked.pop, name, None))
        try:
            # The others who asked the same must not lose their answer because this one stops waiting.
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(held)), self._seconds)
        except TimeoutError:
            raise _overloaded() from None

    def begin(self, work: Callable[[], object]) -> None:
        """Let work be done before anything that is asked later; nobody waits for it."""
        self._thread.submit(work)

    def open(self) -> None:
        """Take questions, again where `close` was called."""
        if self._closed:
            self._thread, self._closed = _thread(), False

    def close(self) -> None:
        """Finish what is being answered, and drop what waits."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="osler-model")


def _overloaded() -> OslerError:
    return OslerError(
        Code.OVERLOADED, "Too many explanations are asked for at the moment.", "Try again in a few seconds."
    )
