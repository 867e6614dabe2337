"""Finds the JSON object in an answer: alone, in a fence, behind a chain of thought, or amid prose."""

from __future__ import annotations

import json
import re
from typing import Any

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_MOST_STARTS = 200


def read_object(text: str, name: str) -> dict[str, Any] | None:
    """Return the last JSON object in the text that has a list under `name`, None where there is none.

    The last one counts: a model that thinks aloud drafts before it answers.
    """
    text = _THOUGHT.sub("", text)
    decoder = json.JSONDecoder()
    found: dict[str, Any] | None = None
    place, starts = text.find("{"), 0
    while place >= 0 and starts < _MOST_STARTS:
        starts += 1
        try:
            record, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(record, dict) and isinstance(record.get(name), list):
                found = record
        place = text.find("{", end)
    return found
