"""What the words beside a mention add to it: the side of the body, and the change since an earlier image.

Both are looked for in the mention's own stretch of the sentence: from the mention or the break before it to the mention or
the break after it. Words before count first, the nearest above all ("right lung clear, left effusion" is on the left).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeVar

from spacy.tokens import Span, Token

Side = Literal["left", "right", "bilateral"]
Change = Literal["new", "worse", "better", "unchanged", "resolved"]
Value = TypeVar("Value")


def _by_word(words: Mapping[Value, str]) -> dict[str, Value]:
    return {word: value for value, line in words.items() for word in line.split()}


_SIDE_WORDS: Mapping[Side, str] = {
    "left": "left lt l lingula lingular",
    "right": "right rt r",
    "bilateral": "bilateral bilaterally both bibasilar bibasal biapical bihilar",
}
_CHANGE_WORDS: Mapping[Change, str] = {
    "new": "new newly developing developed recurrent",
    "worse": "worse worsening worsened increased increasing enlarging progressed larger",
    "better": "better improved improving decreased decreasing resolving smaller",
    "unchanged": "unchanged stable persistent again redemonstrated chronic",
    "resolved": "resolved resolution cleared",
}
_SIDES, _CHANGES = _by_word(_SIDE_WORDS), _by_word(_CHANGE_WORDS)
_LINKS = frozenset({"and", "or", "/", "&", ",", "greater", "more", "less", "than", "also"})  # "right and left"
_BREAKS = frozenset(";.:()") | {"but", "with", "without", "although", "while", "versus"}
_DENIES_CHANGE = frozenset({"not", "no", "without"})
_CHANGE_DENIED = frozenset({"change", "changed", "interval", "significant", "significantly", "resolved", "cleared"})
_NEAR = 8  # tokens looked at on each side


def neighbourhoods(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return for each mention the tokens that may speak of it: up to the next mention or break on either side."""
    starts, ends = sorted({span.start for span in spans}), sorted({span.end for span in spans})
    stretches = []
    for span in spans:
        before, after = bisect_right(ends, span.start), bisect_left(starts, span.end)
        previous = ends[before - 1] if before else 0
        stretches.append(_stretch(span, previous, starts[after] if after < len(starts) else len(span.doc)))
    return stretches


def _stretch(span: Span, previous: int, following: int) -> tuple[int, int]:
    doc, start, end = span.doc, span.start, span.end
    low, high = max(span.sent.start, start - _NEAR, previous), min(span.sent.end, end + _NEAR, following)
    while start > low and doc[start - 1].lower_ not in _BREAKS:
        start -= 1
    while end < high and doc[end].lower_ not in _BREAKS:
        end += 1
    return start, end


def side_of(span: Span, stretch: tuple[int, int]) -> Side | None:
    """Return the side that the words before a mention name, else those in it, else those after it."""
    doc = span.doc
    before, after = list(doc[stretch[0] : span.start])[::-1], list(doc[span.end : stretch[1]])
    for tokens in (before, list(span), after):
        sides: set[Side] = set()
        for token in tokens:  # from the mention outwards
            side = _side(token)
            if side:
                sides.add(side)
            elif sides and token.lower_ not in _LINKS:
                break
        if sides:
            return together(sides)
    return None


def _side(token: Token) -> Side | None:
    word = token.lower_
    return None if word in ("l", "r") and not token.is_upper else _SIDES.get(word)


def together(sides: set[Side]) -> Side:
    """Return the one side of a set, or `bilateral` where there is more than one."""
    return next(iter(sides)) if len(sides) == 1 else "bilateral"


def change_of(span: Span, stretch: tuple[int, int]) -> Change | None:
    """Return the first change that the words around a mention name; "not resolved" and "no change" leave it unchanged."""
    words = [token.lower_ for token in span.doc[stretch[0] : stretch[1]]]
    for word, following in pairwise([*words, ""]):
        if word in _DENIES_CHANGE and following in _CHANGE_DENIED:
            return "unchanged"
        if word in _CHANGES:
            return _CHANGES[word]
    return None
