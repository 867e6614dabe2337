"""Specific Character Set: the defined terms (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

PLAIN = {f"ISO_IR {number}" for number in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)}
ALONE = {"ISO_IR 192", "GB18030", "GBK"}
EXTENDED = {
    f"ISO 2022 IR {number}"
    for number in (6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166, 203)
}


def is_character_set(value: str) -> bool:
    """Whether every value is a defined term; the first of several may be empty, and Unicode stands alone."""
    terms = [term.strip() for term in value.split("\\")]
    if len(terms) == 1:
        return terms[0] in PLAIN | ALONE | EXTENDED
    first, *others = terms
    return first in {"", *PLAIN, *EXTENDED} and all(term in EXTENDED for term in others)
