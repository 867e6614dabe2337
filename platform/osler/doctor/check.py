"""What looking at one part of an installation found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from osler_contracts.errors import OslerError

SKEW_S = 5.0  # between two clocks of one installation, beyond which the order of what they note is in doubt


class State(StrEnum):
    """How a part is: `warn` where Osler works without it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One part, how it is, and what to do about it where that is not well."""

    part: str
    state: State
    found: str
    mend: str = ""

    @property
    def line(self) -> str:
        """The check for a person."""
        return f"{self.state:<5} {self.part}: {self.found}{f'; {self.mend}' if self.mend else ''}"

    def to_dict(self) -> dict[str, str]:
        """Return the check as JSON."""
        return {"part": self.part, "state": str(self.state), "found": self.found, "mend": self.mend}

    @classmethod
    def refused(cls, part: str, error: OslerError) -> Check:
        """Return a part that cannot be used, with what its error says."""
        return cls(part, State.FAIL, f"{error.message.rstrip('.')} ({error.code})", error.mend.rstrip("."))


def looked(part: str, look: Callable[[], str]) -> Check:
    """Return what a look at a part found, or why it was refused."""
    try:
        return Check(part, State.OK, look())
    except OslerError as error:
        return Check.refused(part, error)


def clock_between(other: str, seconds: float) -> Check:
    """Return how far another clock is ahead of this machine's."""
    found = f"{other} is {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"
    if abs(seconds) > SKEW_S:
        return Check("clock", State.FAIL, found, "set both by one time server (NTP)")
    return Check("clock", State.OK, found)
