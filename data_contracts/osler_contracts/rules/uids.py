"""Unique identifiers (PS3.5 9.1)."""

from __future__ import annotations

import re

LONGEST = 64
FORM = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
# The tree of object identifiers has three branches, and the first two have 40 children at most (ISO/IEC 8824).
ROOT = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]*))(?:\.|$)")


def is_uid(value: str) -> bool:
    """Whether a value is a UID: dotted numbers without leading zeros, 64 characters at most (PS3.5 9.1)."""
    return len(value) <= LONGEST and FORM.fullmatch(value) is not None


def has_uid_root(value: str) -> bool:
    """Whether a UID begins with a root that can exist: 0, 1 or 2, and below 0 and 1 a number up to 39 (PS3.5 9.1).

    What is not well formed passes: `is_uid` says that.
    """
    return ROOT.match(value) is not None or not is_uid(value)


def is_listed(value: str, *, decodable: list[str]) -> bool:
    """Whether a transfer syntax is one of those that can be decoded here (PS3.5 10)."""
    return value in decodable
