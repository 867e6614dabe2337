"""What the words beside a mention add to it: the side of the body, and the change since an earlier image.

Both are looked for in the mention's own stretch of the sentence: from the mention or the break before it to the mention or
the break after it. Words before count first, the nearest above all ("right lung clear, left effusion" is on the left). A
mention without a side takes that of the one that it explains or is named with ("left basilar opacity, likely atelectasis").
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


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


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
_AFTER: Mapping[str, Side] = {
    "bases": "bilateral",
    "apices": "bilateral",
    "lungs": "bilateral",
}  # "scarring in the apices"
# What may stand between two sides of one mention: "right lower lobe and left base", "left greater than right".
_LINKS = _words(
    "and or / & , greater larger more less than also at in the small moderate large mild minimal trace sided -"
)
_LINKS |= _words("upper middle lower mid lobe lobes lung base basal basilar apex apical zone midlung")
_NAMED_WITH = _words("and or and/or / versus vs vs. with")
_EXPLAINS = _words(
    "represent represents representing reflect reflects reflecting compatible consistent likely probably"
)
_EXPLAINS |= _words("possibly suggestive suggesting due favored favoring related")
_JOINED_WITHIN = 7  # tokens between a mention and the one whose side it takes
_BREAKS = frozenset(";.:()") | {"but", "with", "without", "although", "while", "versus"}
_BROKEN = frozenset({";", ".", ":", "but", "without", "although", "while", "no"})
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
            side = _side(token) or (_AFTER.get(token.lower_) if tokens is after and not sides else None)
            if side:
                sides.add(side)
            elif sides and token.lower_ not in _LINKS:
                break
        if sides:
            return together(sides)
    return None


def sides_of(spans: Sequence[Span], stretches: Sequence[tuple[int, int]]) -> list[Side | None]:
    """Return the side of each mention, which may be that of a mention it explains or is named with."""
    sides = [side_of(span, stretch) for span, stretch in zip(spans, stretches, strict=True)]
    order = sorted(range(len(spans)), key=lambda number: (spans[number].start, spans[number].end))
    for first, second in pairwise(order):
        if sides[second] is None and _joined(spans[first], spans[second], _NAMED_WITH | _EXPLAINS):
            sides[second] = sides[first]
    for second, first in pairwise(reversed(order)):
        if sides[first] is None and _joined(spans[first], spans[second], _NAMED_WITH):
            sides[first] = sides[second]
    return sides


def _joined(first: Span, second: Span, words: frozenset[str]) -> bool:
    between = [token.lower_ for token in first.doc[first.end : second.start]]
    near = first.sent == second.sent and len(between) <= _JOINED_WITHIN and not _BROKEN & set(between)
    return near and bool(words & set(between))


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
