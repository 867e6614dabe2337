"""Which text may stay in an image: side markers, projection and position, exposure figures. All else may name somebody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from osler.deid.text_reader import Text
from osler.deid.text_screen import overlap

# What radiographers put on films. A word of six letters or more may be misread in one of them.
_MARKERS = """
    left right lt rt sin dex dx sx pa ap lat lateral ll rl lld rld decub decubitus oblique lordotic
    supine supino prone erect upright uprt standing sitting semi semierect semiupright portable port mobile bedside
    bed bett bettaufnahme aufnahme liegend stehend sitzend
    insp inspiration exp expiration kv kvp mas ma ms msec sec cm mm ei di rex exi dap sid ffd grid cgy mgy dgy
    ww wl wc zoom chest thorax abdomen cxr dr cr film image view table wall stand icu itu er ed ward
"""
MARKERS = frozenset(_MARKERS.split())
# As they are read: the I of EI for a 1, the A of mAs for nearly anything.
UNITS = r"kvp?|m\ws|ma|ms(?:ec)?|s(?:ec)?|cm|mm|e[i1l|]|d[i1l|]|rex|exi|dap|s[i1l|]d|ffd|[dcm]gy(?:cm2?)?|%|x"
# A figure beside its unit, as 98 kV, EI 320 or 2.1mAs.
_FIGURE = re.compile(
    rf"(?:(?<![a-z])(?:{UNITS})\s*[:=]?\s*\d{{1,4}}(?:[.,]\d+)?)|(?:(?<!\d)\d{{1,4}}(?:[.,]\w{{1,2}})?\s*(?:{UNITS})(?![a-z]))"
)
_DATE = re.compile(r"\d{1,4}\s*[-/.:]\s*\d{1,2}\s*[-/.:]\s*\d{1,4}|\d{1,2}\s*[-/. ]?\s*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)")  # fmt: skip
SHORT = 3  # letters and digits that name nobody: a marker and a radiographer's initials
LEGIBLE, LONG_ILLEGIBLE = 0.5, 4
FUZZY_LENGTH = 6
_OVERSIZED, _SURE = 0.25, 0.9  # share of the image's side
FRAGMENT = 6  # letters and digits of a line too small to be read surely


def unwanted(texts: Sequence[Text], shape: tuple[int, ...], identifiers: frozenset[str] = frozenset()) -> list[Text]:
    """Return the lines of an image of a shape (H, W) that may not stay.

    In a block of exposure figures, a short line of which the reader is not sure is taken for another figure: at a few
    pixels of height EI 405 is read FL405, and 101 kV is read J01 KA.
    """
    figures = [text for text in texts if _FIGURE.search(_plain(text)) and may_stay(text, shape, identifiers)]
    return [
        text
        for text in texts
        if not may_stay(text, shape, identifiers)
        and not (_is_fragment(text, identifiers) and any(_beside(text, figure) for figure in figures))
    ]


def _is_fragment(text: Text, identifiers: frozenset[str]) -> bool:
    words = _plain(text)
    return text.score < _SURE and _weight(words) <= FRAGMENT and not _repeats(words, identifiers)


def _beside(text: Text, other: Text) -> bool:
    """Return whether a line lies within a line and a half's height of another."""
    reach = round(1.5 * max(text.box[2] - text.box[0], 1))
    top, left, bottom, right = text.box
    return overlap((top - reach, left - reach, bottom + reach, right + reach), other.box)


def may_stay(text: Text, shape: tuple[int, ...], identifiers: frozenset[str] = frozenset()) -> bool:
    """Return whether a line of text may stay in an image of a shape (H, W), whatever stands beside it.

    Anatomy that the reader took for a letter stays too: a figure a quarter of the image high, or a few signs that it is
    not sure of. Whatever repeats the header's words on the patient goes, however short.
    """
    words = _plain(text)
    if _repeats(words, identifiers):
        return False
    weight = _weight(words)
    height, width = text.box[2] - text.box[0], text.box[3] - text.box[1]
    if text.score < _SURE and min(height / shape[0], width / shape[1]) > _OVERSIZED:
        return True
    if _DATE.search(words):
        return False
    if weight <= SHORT or (text.score < LEGIBLE and weight < LONG_ILLEGIBLE):
        return True
    return _only_markers(words)


def _plain(text: Text) -> str:
    return unicodedata.normalize("NFKC", text.words).lower()


def _repeats(words: str, identifiers: frozenset[str]) -> bool:
    return any(word in identifiers for word in re.findall(r"[^\W_]+", words))


def _weight(words: str) -> int:
    """Count letters and digits; a sign of Chinese, Japanese or Korean is worth two, since three of them make a name."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in words if sign.isalnum())


def _only_markers(words: str) -> bool:
    """Return whether nothing is left once figures with units, markers and short numbers are taken out."""
    rest = _FIGURE.sub(" ", words)
    numbers = re.findall(r"\d+", rest)
    if sum(map(len, numbers)) > SHORT:
        return False
    letters = re.findall(r"[^\W\d_]+", rest)
    return all(_made_of_markers(word) for word in letters) if letters else True


@cache
def _made_of_markers(word: str) -> bool:
    """Return whether a word is a marker, or several that ran together, or one long marker with one letter wrong."""
    if len(word) == 1 or word in MARKERS:
        return True
    if len(word) >= FUZZY_LENGTH - 1 and any(_nearly(word, known) for known in MARKERS if len(known) >= FUZZY_LENGTH):
        return True
    return any(word[:cut] in MARKERS and _made_of_markers(word[cut:]) for cut in range(2, len(word) - 1))


def _nearly(word: str, known: str) -> bool:
    """Return whether one letter changed, added or left out makes one word the other."""
    if abs(len(word) - len(known)) > 1 or word[0] != known[0]:
        return False
    start = next((at for at, (a, b) in enumerate(zip(word, known, strict=False)) if a != b), min(len(word), len(known)))
    rests = (
        (word[start + 1 :], known[start + 1 :]),
        (word[start:], known[start + 1 :]),
        (word[start + 1 :], known[start:]),
    )
    return any(one == other for one, other in rests)
