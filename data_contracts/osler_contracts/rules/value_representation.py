"""Value representations: how long a value may be and which characters it may hold (PS3.5 6.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from osler_contracts.rules.dates import is_age, is_date
from osler_contracts.rules.uids import is_uid

# Written as text in a header table whatever their encoding in the file; US is 16 bits without a sign.
LARGEST_US = 65535
INTEGER = re.compile(r"[+-]?[0-9]{1,11}")
# DS holds 16 characters, of a fixed-point or floating-point number.
DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")
CONTROL = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")  # ESC (1B) switches character sets and is allowed


@dataclass(frozen=True)
class _Text:
    """Free text of one line, at most `longest` characters, without control characters."""

    longest: int

    def __call__(self, value: str) -> bool:
        return len(value) <= self.longest and CONTROL.search(value) is None


def _is_person_name(value: str) -> bool:
    """Up to three groups of up to five components, 64 characters a group (PS3.5 6.2.1)."""
    groups = value.split("=")
    return len(groups) <= 3 and all(len(group) <= 64 and group.count("^") <= 4 for group in groups) and _line(value)


def _is_integer_string(value: str) -> bool:
    return len(value) <= 12 and INTEGER.fullmatch(value) is not None and -(2**31) <= int(value) < 2**31


def _is_decimal_string(value: str) -> bool:
    return len(value) <= 16 and DECIMAL.fullmatch(value) is not None


def _is_unsigned_short(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) <= LARGEST_US


def _is_code_string(value: str) -> bool:
    return CODE_STRING.fullmatch(value) is not None


_line = _Text(10**9)
_FORMS: Mapping[str, Callable[[str], bool]] = {
    "AS": is_age,
    "CS": _is_code_string,
    "DA": is_date,
    "DS": _is_decimal_string,
    "IS": _is_integer_string,
    "LO": _Text(64),
    "PN": _is_person_name,
    "SH": _Text(16),
    "UI": is_uid,
    "US": _is_unsigned_short,
}
REPRESENTATIONS: Mapping[str, str] = {
    "AS": "three digits and one of D, W, M, Y",
    "CS": "at most 16 capitals, digits, blanks and underscores",
    "DA": "a day as YYYYMMDD",
    "DS": "a decimal number of at most 16 characters",
    "IS": "a whole number of at most 12 characters",
    "LO": "at most 64 characters on one line",
    "PN": "at most 3 groups of at most 64 characters",
    "SH": "at most 16 characters on one line",
    "UI": "a UID",
    "US": "a whole number from 0 to 65535",
}


def fits_representation(value: str, *, vr: str) -> bool:
    """Whether each of the values, which backslashes part, keeps the length and the characters of a representation.

    Blanks around a value are padding, and an empty value is allowed (PS3.5 6.4).
    """
    form = _FORMS[vr]
    return all(not part or form(part) for part in (part.strip(" ") for part in value.split("\\")))
