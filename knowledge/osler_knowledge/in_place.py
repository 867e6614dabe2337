"""A passage in its place: the text around it, for those who judge whether it says what the concept asks."""

from __future__ import annotations

from dataclasses import dataclass

from osler_knowledge.concept import Citation
from osler_knowledge.corpus import Corpus

AROUND = 400  # characters shown on each side


@dataclass(frozen=True)
class InPlace:
    """A passage with what stands before and after it.

    Attributes:
        before: Text before; empty where the corpus at hand does not have the passage.
        passage: The passage.
        after: Text after.
        found: Whether the corpus at hand has the passage, verbatim, at its offsets.
        reviewed: Whether a clinician has reviewed the entry.
    """

    before: str
    passage: str
    after: str
    found: bool
    reviewed: bool = False


def in_place(citation: Citation, corpus: Corpus | None, around: int = AROUND) -> InPlace:
    """Return a passage with the text around it, cut at words."""
    entry = corpus.by_id.get(citation.entry) if corpus else None
    if entry is None or entry.text[citation.start : citation.end] != citation.passage:
        return InPlace("", citation.passage, "", found=False)
    first, last = max(citation.start - around, 0), citation.end + around
    before, after = entry.text[first : citation.start], entry.text[citation.end : last]
    if first > 0:
        before = "…" + before[before.find(" ") :]
    if last < len(entry.text):
        after = after[: after.rfind(" ") + 1] + "…"
    return InPlace(before, citation.passage, after, found=True, reviewed=entry.clinically_reviewed)
