"""A passage in its place: the text around it, for those who judge whether it says what the concept asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from osler_knowledge.concept import Citation
from osler_knowledge.corpus import Entry

AROUND = 400  # characters shown on each side


@dataclass(frozen=True)
class InPlace:
    """A passage with what stands before and after it.

    Attributes:
        before: Text before; empty where the corpus at hand does not have the passage.
        passage: The passage.
        after: Text after.
        found: Whether a text at hand has the passage, verbatim, at its offsets.
        reviewed: Whether a clinician has reviewed the entry.
    """

    before: str
    passage: str
    after: str
    found: bool
    reviewed: bool = False


def in_place(citation: Citation, entries: Iterable[Entry], around: int = AROUND) -> InPlace:
    """Return a passage with the text around it, cut at words, from the first entry that has it at its offsets."""
    for entry in entries:
        if entry.id == citation.entry and entry.text[citation.start : citation.end] == citation.passage:
            break
    else:
        return InPlace("", citation.passage, "", found=False)
    first, last = max(citation.start - around, 0), citation.end + around
    before, after = entry.text[first : citation.start], entry.text[citation.end : last]
    if first > 0:
        before = "…" + before[before.find(" ") :]
    if last < len(entry.text):
        after = after[: after.rfind(" ") + 1] + "…"
    return InPlace(before, citation.passage, after, found=True, reviewed=entry.clinically_reviewed)
