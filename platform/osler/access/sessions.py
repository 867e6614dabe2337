"""Sessions: a random number a browser holds, against a person held here, until idle or absolute time is over.

They live in the memory of the server: nothing of them is on disk, and a server that starts again knows none.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from osler.access.roles import Person
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

IDLE, LONGEST = 30 * 60.0, 12 * 3600.0  # seconds without a step, and from sign-in to the next
KEPT = 24 * 3600.0  # seconds for which an ended session is remembered


@dataclass(frozen=True)
class Session:
    """One sign-in; times in seconds since the epoch.

    Attributes:
        person: Who.
        opened: When the person last proved who they are.
        seen: When the person last did something.
        until: When the proof itself ends (the expiry of an identity token), None where it does not.
        closed: Whether the person signed out.
    """

    person: Person
    opened: float
    seen: float
    until: float | None = None
    closed: bool = False

    def over(self, now: float, idle: float, longest: float) -> bool:
        """Return whether the session has ended."""
        return (
            self.closed
            or now - self.seen >= idle
            or now - self.opened >= longest
            or (self.until is not None and now >= self.until)
        )


class Sessions:
    """All sessions of a server.

    Args:
        idle: Seconds without a step after which a session ends.
        longest: Seconds after which it ends however busy it is.
        clock: Seconds since the epoch; `time.time` unless a test says otherwise.
    """

    def __init__(self, *, idle: float = IDLE, longest: float = LONGEST, clock: Callable[[], float] = time.time) -> None:
        self._idle, self._longest, self._clock = idle, longest, clock
        self._lock = threading.Lock()
        self._held: dict[str, Session] = {}

    def open(self, person: Person, *, until: float | None = None, number: str | None = None) -> str:
        """Open a session and return its number, 256 random bits unless one is given."""
        number = number or secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._forget(now)
            self._held[_key(number)] = Session(person, now, now, until)
        return number

    def known(self, number: str) -> bool:
        """Return whether a number ever opened a session, ended or not."""
        with self._lock:
            return _key(number) in self._held

    def get(self, number: str, *, step: bool) -> Session:
        """Return a session that has not ended.

        Args:
            number: Its number.
            step: Whether the person did something, which keeps the session from being idle.

        Raises:
            OslerError: `session-expired`.
        """
        now = self._clock()
        with self._lock:
            held = self._held.get(_key(number))
            if held is None or held.over(now, self._idle, self._longest):
                raise expired()
            if step:
                held = self._held[_key(number)] = replace(held, seen=now)
            return held

    def holder(self, number: str) -> Person | None:
        """Return whose an ended session was, None for one that was signed out or is not known."""
        with self._lock:
            held = self._held.get(_key(number))
            return None if held is None or held.closed else held.person

    def renew(self, number: str) -> None:
        """Begin an ended session anew, for its holder, who has just proved who they are."""
        now = self._clock()
        with self._lock:
            held = self._held.get(_key(number))
            if held is None or held.closed:
                raise expired()
            self._held[_key(number)] = replace(held, opened=now, seen=now)

    def close(self, number: str) -> Person | None:
        """End a session and return whose it was, None where it had been closed or is not known."""
        with self._lock:
            held = self._held.get(_key(number))
            if held is None or held.closed:
                return None
            self._held[_key(number)] = replace(held, closed=True)
            return held.person

    def _forget(self, now: float) -> None:
        old = [key for key, one in self._held.items() if now - max(one.seen, one.until or 0.0) > KEPT]
        for key in old:
            del self._held[key]


def expired() -> OslerError:
    """Return the error of a session that is over."""
    return OslerError(Code.SESSION_EXPIRED, "Your session has ended.", "Sign in again to go on; nothing was lost.")


def _key(number: str) -> str:
    """Return what a session is held under: the memory of the server holds no number that could be used."""
    return hashlib.sha256(number.encode()).hexdigest()
