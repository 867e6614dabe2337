"""The history of a bank: who did what to which concept, when and why; appended, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from osler_knowledge.concept import MAX_NAME, MAX_REASON, STRICT, check_line, invalid

Action = Literal["proposed", "accepted", "retired", "reworded", "prior", "codes"]
LAST_VERSION = 10**9


@dataclass(frozen=True)
class Change:
    """One step in the life of a bank.

    Attributes:
        version: The bank's version after it.
        time: When, ISO 8601 in UTC.
        by: Who.
        action: What was done.
        concept: To which concept; empty where it was the bank as a whole.
        reason: Why.
        before: What was there, by the name of what changed; the old wording stays here.
        after: What is there now.
    """

    __pydantic_config__ = STRICT

    version: int
    time: str
    by: str
    action: Action
    concept: str = ""
    reason: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_line(self.by, "name of who changed the bank", MAX_NAME)
        if self.reason:
            check_line(self.reason, "reason of a change", MAX_REASON)
        if self.time != moment(self.time):
            raise invalid("The time of a change is not a time in UTC, such as 2025-01-31T09:00:00+00:00.")


def moment(text: str) -> str:
    """Return a time as the history writes it: UTC, to the second.

    Raises:
        OslerError: `bank-invalid` where it is no time, or has no time zone.
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise ValueError("no time zone")
        return when.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise invalid("The time of a change cannot be read, or has no time zone.") from None


def now() -> str:
    """Return the present moment as the history writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_history(history: Sequence[Change], version: int, ids: Collection[str]) -> None:
    """Require that versions only go up, end at the bank's, and that what changed is in the bank.

    Raises:
        OslerError: `bank-invalid`.
    """
    if not 1 <= version < LAST_VERSION:
        raise invalid("The version of a bank is a whole number from 1 on.")
    versions = [one.version for one in history]
    if versions != sorted(versions) or not all(1 <= one <= version for one in versions):
        raise invalid("The versions in the bank's history do not go up to its own.")
    strangers = {one.concept for one in history if one.concept} - set(ids)
    if strangers:
        raise invalid(f"The history speaks of concepts that the bank lacks: {', '.join(sorted(strangers)[:5])}.")
