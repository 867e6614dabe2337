"""Shared language tools: a blank English pipeline that reads US and UK spelling alike, and a finder of phrases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import spacy
from spacy.language import Language
from spacy.matcher import Matcher, PhraseMatcher
from spacy.tokens import Doc

from osler_knowledge.words import normalise

__all__ = ["GAP", "LONGEST_GAP", "Found", "PhraseFinder", "blank_english", "english", "normalise"]

GAP = " ... "
LONGEST_GAP = 6
# A phrase with a gap does not run across a clause, nor past a word that turns it round.
_GAP_STOPS = [",", ";", ".", "(", ")", "but", "with", "without", "while", "although", "normal", "clear"]
_GAP_STOPS += ["unremarkable", "aorta", "aortic", "no", "which", "there", "seen", "than", "base", "apex"]


@Language.component("osler_norms")
def _set_norms(doc: Doc) -> Doc:
    for token in doc:
        token.norm_ = normalise(token.text)
    return doc


@Language.component("osler_lines")
def _start_at_lines(doc: Doc) -> Doc:
    """Start a sentence after an empty line, and on a new line that begins like one (capital, number or bullet)."""
    for space, token in pairwise(doc):
        if "\n" in space.text and (
            space.text.count("\n") > 1 or token.text[0].isupper() or not token.text[0].isalpha()
        ):
            token.is_sent_start = True
    return doc


def blank_english() -> Language:
    """Return a new pipeline that splits sentences and normalises words; it needs no model."""
    nlp = spacy.blank("en")
    nlp.max_length = 100_000_000  # characters; the default protects parsers, and there is none here
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "..", "...", "!", "?", ";"]})
    nlp.add_pipe("osler_lines")
    nlp.add_pipe("osler_norms")
    return nlp


@lru_cache(maxsize=1)
def english() -> Language:
    """Return the pipeline that this process shares."""
    return blank_english()


@dataclass(frozen=True, order=True)
class Found:
    """A phrase found in a document: tokens `start` to `end`; `head` starts the part behind the gap."""

    start: int
    end: int
    head: int
    key: str


class PhraseFinder:
    """Finds phrases, some with a gap, by their key; plurals, hyphens and spelling do not matter."""

    def __init__(self, nlp: Language, phrases: Mapping[str, Iterable[str]]) -> None:
        self._plain = PhraseMatcher(nlp.vocab, attr="NORM")
        self._gapped = Matcher(nlp.vocab)
        self._keys: dict[int, tuple[str, int]] = {}
        for key, terms in phrases.items():
            variants = sorted({variant for term in terms for variant in _hyphen_variants(term)})
            plain = [_set_norms(nlp.make_doc(term)) for term in variants if GAP not in term]
            if plain:
                self._plain.add(key, plain)
            for number, term in enumerate(term for term in variants if GAP in term):
                self._add_gapped(nlp, f"{key}#{number}", key, term)

    def _add_gapped(self, nlp: Language, name: str, key: str, term: str) -> None:
        first, last = ([normalise(token.text) for token in nlp.make_doc(part)] for part in term.split(GAP))
        gap = {"NORM": {"NOT_IN": _GAP_STOPS}, "OP": f"{{0,{LONGEST_GAP}}}"}
        pattern: list[dict[str, Any]] = [{"NORM": word} for word in first] + [gap] + [{"NORM": word} for word in last]
        self._gapped.add(name, [pattern])
        self._keys[nlp.vocab.strings[name]] = (key, len(last))

    def __call__(self, doc: Doc) -> list[Found]:
        """Return what is found, in reading order."""
        strings = doc.vocab.strings
        found = {Found(start, end, start, strings[match]) for match, start, end in self._plain(doc)}
        for match, start, end in self._gapped(doc) if self._keys else ():
            key, length = self._keys[match]
            found.add(Found(start, end, end - length, key))
        return sorted(found)


def _hyphen_variants(term: str) -> set[str]:
    """Return the term as written, with its hyphens as spaces, and without them."""
    return {term, re.sub(r"(?<=\w)-(?=\w)", " ", term), re.sub(r"(?<=\w)-(?=\w)", "", term)}
