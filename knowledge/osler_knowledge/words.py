"""Words as retrieval sees them: spelling and number set aside, cheap enough for a million passages."""

from __future__ import annotations

import re
from functools import lru_cache

from bm25s.stopwords import STOPWORDS_EN

_SPELLING = (
    (re.compile(r"oedema"), "edema"),
    (re.compile(r"haemo"), "hemo"),
    (re.compile(r"tumour"), "tumor"),
    (re.compile(r"orthopnoea"), "orthopnea"),
    (re.compile(r"calibre$"), "caliber"),
    (re.compile(r"([a-z]{3})is(ed|ing|ation)$"), r"\1iz\2"),
    (re.compile(r"(favo|colo|vapo)ur"), r"\1r"),
    (re.compile(r"grey"), "gray"),
    (re.compile(r"centre"), "center"),
)
_PLURALS = {"atelectases": "atelectasis", "pneumothoraces": "pneumothorax", "apices": "apex", "sulci": "sulcus"}
_WORD = re.compile(r"\b\w\w+\b")
STOPWORDS = frozenset(STOPWORDS_EN)


@lru_cache(maxsize=100_000)
def normalise(word: str) -> str:
    """Return the singular of a word in US spelling and lower case; a crude stem where English is irregular."""
    word = word.lower()
    for pattern, replacement in _SPELLING:
        word = pattern.sub(replacement, word)
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def surface_words(text: str) -> list[str]:
    """Return the words of a text of two characters or more, in lower case and otherwise as written."""
    return _WORD.findall(text.lower())


def terms(text: str) -> list[str]:
    """Return what BM25 counts of a text: normalised words without stop words, in reading order."""
    return [normalise(word) for word in surface_words(text) if word not in STOPWORDS]
