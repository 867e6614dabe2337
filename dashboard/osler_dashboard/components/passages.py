"""A passage of medical text, highlighted in the paragraph that it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from osler.explain.explanation import Passage


def in_context(passages: Sequence[str], paragraphs: Sequence[str]) -> str:
    """Return the paragraphs that hold any of the passages, each passage marked; the bare passages where none does."""
    held = [text for text in paragraphs if any(passage in text for passage in passages)] or list(passages)
    return "".join(f'<div class="o-passage">{_marked(text, passages)}</div>' for text in held)


def _marked(text: str, passages: Sequence[str]) -> str:
    """Mark passages in a text by their places, merged where they overlap; everything is escaped."""
    places = sorted((text.find(one), text.find(one) + len(one)) for one in set(passages) if one in text)
    pieces, at = [], 0
    for start, end in places:
        if end > at:
            start = max(start, at)
            pieces += [escape(text[at:start]), "<mark>", escape(text[start:end]), "</mark>"]
            at = end
    return "".join([*pieces, escape(text[at:])])


def source(passage: Passage) -> str:
    """Return title and references."""
    references = "".join(f"<li>{escape(one)}</li>" for one in passage.references)
    return (
        f'<p class="o-quiet" style="margin:0"><b>{escape(passage.title)}</b> · not clinically reviewed</p>'
        f'<ul class="o-refs">{references}</ul>'
    )
