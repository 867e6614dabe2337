"""An entry of the audit log: its line, its hash, and the words that it is made of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

START = "0" * 64  # what the first entry names as the one before it
MAX_ACTOR, MAX_SUBJECT, MAX_DETAILS = 80, 200, 4000
ACTION = re.compile(r"[a-z][a-z0-9.-]{0,63}")


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        number: 1 for the first.
        time: When, ISO 8601 in UTC.
        actor: Who.
        action: What, such as `quarantine.release`.
        subject: To what: a pseudonym or a hash, never a value of a patient.
        details: Further words, such as a reason.
        previous: Hash of the entry before.
        sha256: Hash of all of the above.
    """

    number: int
    time: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]
    previous: str
    sha256: str

    def digest(self) -> str:
        """Return the SHA-256 of the canonical encoding of everything but the hash itself."""
        return hashlib.sha256(canonical({k: v for k, v in asdict(self).items() if k != "sha256"})).hexdigest()

    def line(self) -> bytes:
        """Return the entry as its line."""
        return canonical(asdict(self)) + b"\n"


@dataclass(frozen=True)
class Words:
    """What an entry says, before it has its place in the chain."""

    actor: str
    action: str
    subject: str
    details: Mapping[str, str]


def entry_after(number: int, sha256: str, words: Words) -> Entry:
    """Return the entry that follows the one of a number and a hash."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(number + 1, now, words.actor, words.action, words.subject, words.details, sha256, "")
    return replace(entry, sha256=entry.digest())


def parse(line: bytes) -> Entry | None:
    """Return the entry of a line, None where it is none; a log that somebody changed may hold anything."""
    try:
        entry = Entry(**json.loads(line))
        words = (entry.time, entry.actor, entry.action, entry.subject, entry.previous, entry.sha256)
        told = (*words, *entry.details, *entry.details.values())
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return entry if type(entry.number) is int and all(isinstance(one, str) for one in told) else None


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the one encoding that hashes are made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def checked(actor: str, action: str, subject: str, details: Mapping[str, str]) -> Words:
    """Return the words of an entry.

    Raises:
        OslerError: `usage` where one is empty, too long or holds control characters.
    """
    if not ACTION.fullmatch(action):
        raise OslerError(Code.USAGE, f"{action!r} names no action.", "Use small letters, digits, dots and dashes.")
    if sum(len(name) + len(value) for name, value in details.items()) > MAX_DETAILS:
        raise OslerError(Code.USAGE, "The details of the entry are too long.", f"Give up to {MAX_DETAILS} characters.")
    told = {
        check_words(name, "name of a detail", MAX_ACTOR): check_words(value, name, MAX_DETAILS)
        for name, value in details.items()
        if value
    }
    return Words(check_words(actor, "actor", MAX_ACTOR), action, check_words(subject, "subject", MAX_SUBJECT), told)


def check_words(text: str, what: str, longest: int) -> str:
    """Return what a person gave, without blanks around it.

    Raises:
        OslerError: `usage` where it is empty, too long, or holds a line break or another character that is not printed.
    """
    text = text.strip()
    if not 0 < len(text) <= longest or not text.isprintable():
        raise OslerError(
            Code.USAGE, f"The {what} is not a line of 1 to {longest} printable characters.", f"Give another {what}."
        )
    return text
