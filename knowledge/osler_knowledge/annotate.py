"""Report annotation: which concepts a report asserts, denies or doubts, and the words that say so.

Phrases come from the bank, context from negspacy with the term sets of `osler_knowledge.context`. A sentence that denies
and doubts ("no finding suggestive of ...") denies. Several mentions in one report: present before uncertain before
absent, so that "no opacity on the right; opacity on the left" is an opacity. Sides are not told apart. Sections that
ask or compare (indication, history, comparison, technique) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from negspacy.negation import Negex
from spacy.tokens import Doc, Span

from osler_knowledge.bank import ConceptBank
from osler_knowledge.context import DOUBT, DOUBTFUL_WORDS, NEGATION, NOT_NOW
from osler_knowledge.language import PhraseFinder, blank_english
from osler_knowledge.lexicon import Lexicon, starter_lexicon

State = Literal["present", "absent", "uncertain"]
_WEIGHT: dict[State, int] = {"present": 2, "uncertain": 1, "absent": 0}
_CONTEXTS = (
    ("osler_negated", NEGATION, None),
    ("osler_doubted", DOUBT, DOUBTFUL_WORDS),
    ("osler_not_now", NOT_NOW, None),
)
_SPANS = "mentions"
_DENIED = "!"  # marks the key of a phrase that reports absence
# A header starts a line or a sentence, or is written in capitals.
_HEADER = re.compile(
    r"(?im)(?:^|[.;?!]|\b(?=(?-i:[A-Z]{4})))\s*(indications?|(?:clinical )?(?:history|information|details|indication)"
    r"|comparisons?|techniques?|reason for (?:exam(?:ination)?|study)|findings?|impression|conclusions?|opinion|report"
    r"|procedure|views?)\s*:"
)
_READ = re.compile(r"(?i)finding|impression|conclusion|opinion|report")


@dataclass(frozen=True)
class Mention:
    """What a report says of one concept, with the character offsets of the words that say it."""

    state: State
    start: int
    end: int


class _Phrases(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def absent_terms(self) -> tuple[str, ...]: ...


class Annotator:
    """Reads reports for a fixed set of phrases; building one takes about a second, so keep it."""

    def __init__(self, phrases: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> None:
        self._nlp = blank_english()
        keyed: dict[str, Iterable[str]] = {key: terms for key, (terms, _) in phrases.items()}
        keyed |= {_DENIED + key: denials for key, (_, denials) in phrases.items() if denials}
        self._finder = PhraseFinder(self._nlp, keyed)
        self._contexts = [
            Negex(self._nlp, name, terms, extension_name=name, span_keys=[_SPANS], chunk_prefix=words)
            for name, terms, words in _CONTEXTS
        ]

    def __call__(self, reports: Iterable[str]) -> Iterator[dict[str, Mention]]:
        """Yield for each report the mentions by key; what is not mentioned is not a key."""
        for doc in self._nlp.pipe(reports):
            yield self._read(doc)

    def _read(self, doc: Doc) -> dict[str, Mention]:
        unread = _unread(doc.text)
        spans = [
            Span(doc, one.head, one.end, label=one.key)
            for one in self._finder(doc)
            if not any(start <= doc[one.start].idx < end for start, end in unread)
        ]
        doc.spans[_SPANS] = spans
        for context in self._contexts:
            context(doc)
        mentions: dict[str, Mention] = {}
        for span in spans:
            state = _state(span)
            key = span.label_.removeprefix(_DENIED)
            if state and (key not in mentions or _WEIGHT[state] > _WEIGHT[mentions[key].state]):
                mentions[key] = Mention(state, span.start_char, span.end_char)
        return mentions


def _state(span: Span) -> State | None:
    if span._.osler_not_now:
        return None
    if span.label_.startswith(_DENIED):
        before = {token.lower_ for token in span.doc[max(span.sent.start, span.start - 2) : span.start]}
        if before & {"not", "n't"}:
            return None
        return "uncertain" if span._.osler_doubted else "absent"
    if span._.osler_negated:
        return "absent"
    return "uncertain" if span._.osler_doubted else "present"


def _unread(text: str) -> list[tuple[int, int]]:
    """Return the character ranges of sections that do not describe the image."""
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)] * bool(headers)
    return [(one.start(), end) for one, end in zip(headers, ends, strict=True) if not _READ.match(one.group(1))]


@lru_cache(maxsize=8)
def _annotator(phrases: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]) -> Annotator:
    return Annotator({key: (terms, denials) for key, terms, denials in phrases})


def _annotate(reports: Sequence[str], phrases: Iterable[_Phrases]) -> list[dict[str, Mention]]:
    return list(_annotator(tuple((one.id, one.terms, one.absent_terms) for one in phrases))(reports))


def annotate(reports: Sequence[str], bank: ConceptBank) -> list[dict[str, Mention]]:
    """Return for each report what it says of each concept; a concept that it does not mention is not a key."""
    return _annotate(reports, bank.concepts)


def annotate_findings(reports: Sequence[str], lexicon: Lexicon | None = None) -> list[dict[str, Mention]]:
    """Return for each report what it says of each finding of the lexicon (by default the starter lexicon)."""
    return _annotate(reports, (lexicon or starter_lexicon()).findings)
