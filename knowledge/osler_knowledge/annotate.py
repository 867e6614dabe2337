"""Report annotation: which concepts a report asserts, denies or doubts, and the words that say so.

Phrases come from the bank (or a list of findings), context from negspacy with the term sets of `osler_knowledge.context`.
A sentence that denies and doubts ("no finding suggestive of ...") denies. Several mentions in one report: present before
uncertain before absent, so that "no opacity on the right; opacity on the left" is an opacity, on the left. Sections that
ask or compare (indication, history, comparison, technique) are not read, nor is what a sentence puts into the past.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from spacy.tokens import Doc, Span

from osler_knowledge.bank import ConceptBank
from osler_knowledge.context import (
    NEGATION,
    NOT_NOW,
    POSSIBLE,
    POSSIBLE_WORDS,
    PROBABLE,
    PROBABLE_WORDS,
    Context,
    TermSet,
)
from osler_knowledge.language import Found, PhraseFinder, blank_english
from osler_knowledge.lexicon import Lexicon, starter_lexicon
from osler_knowledge.modifiers import Change, Side, change_of, neighbourhoods, sides_of, together

State = Literal["present", "absent", "uncertain"]
Doubt = Literal["probable", "possible"]
Section = Literal["findings", "impression"]
_WEIGHT: dict[State, int] = {"present": 2, "uncertain": 1, "absent": 0}
_CONTEXTS: tuple[tuple[str, TermSet, list[str]], ...] = (
    ("osler_negated", NEGATION, []),
    ("osler_probable", PROBABLE, PROBABLE_WORDS),
    ("osler_possible", POSSIBLE, POSSIBLE_WORDS),
    ("osler_not_now", NOT_NOW, []),
)
_SPANS = "mentions"
_DENIED = "!"  # marks the key of a phrase that reports absence
_OTHER = "~"  # marks the key of a phrase that holds a term and means something else
# A header starts a line or a sentence, or is written in capitals.
_HEADER = re.compile(
    r"(?im)(?:^|[.;?!]|\b(?=(?-i:[A-Z]{4})))\s*(indications?|(?:clinical )?(?:history|information|details|indication)"
    r"|comparisons?|techniques?|reason for (?:exam(?:ination)?|study)|findings?|impression|conclusions?|opinion|report"
    r"|procedure|views?)\s*:"
)
_READ = re.compile(r"(?i)(?P<findings>finding|report)|(?P<impression>impression|conclusion|opinion)")


class Phrases(NamedTuple):
    """Phrases of one concept: those that report it, those that deny it, those that hold a term and mean something else."""

    terms: tuple[str, ...]
    absent_terms: tuple[str, ...] = ()
    other_terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mention:
    """What a report says of one concept, with the character offsets of the words that say it.

    Attributes:
        state: Asserted, denied or doubted.
        start: Offset of the first character.
        end: Offset behind the last character.
        doubt: Where it is doubted, whether the words lean towards it or leave it open.
        side: Side of the body that is named; of several mentions that agree in their state, the sides together.
        change: Change since an earlier image that is named; an absent "new" says that there is no new one.
        section: Section that says it, where the report has headers.
    """

    state: State
    start: int
    end: int
    doubt: Doubt | None = None
    side: Side | None = None
    change: Change | None = None
    section: Section | None = None


class _Phrases(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def absent_terms(self) -> tuple[str, ...]: ...


class Annotator:
    """Reads reports for a fixed set of phrases; building one takes about a second, so keep it."""

    def __init__(self, phrases: Mapping[str, Phrases]) -> None:
        self._nlp = blank_english()
        keyed: dict[str, Iterable[str]] = {key: one.terms for key, one in phrases.items()}
        keyed |= {_DENIED + key: one.absent_terms for key, one in phrases.items() if one.absent_terms}
        keyed |= {_OTHER + key: one.other_terms for key, one in phrases.items() if one.other_terms}
        self._finder = PhraseFinder(self._nlp, keyed)
        self._contexts = [
            Context(self._nlp, name, terms, span_key=_SPANS, words=words) for name, terms, words in _CONTEXTS
        ]

    def __call__(self, reports: Iterable[str]) -> Iterator[dict[str, Mention]]:
        """Yield for each report the mentions by key; what is not mentioned is not a key."""
        for mentions in self.all_mentions(reports):
            yield {key: summary(found) for key, found in mentions.items()}

    def all_mentions(self, reports: Iterable[str]) -> Iterator[dict[str, list[Mention]]]:
        """Yield for each report every mention by key, in reading order."""
        for doc in self._nlp.pipe(reports):
            yield self._read(doc)

    def _read(self, doc: Doc) -> dict[str, list[Mention]]:
        sections = _sections(doc.text)
        found = self._finder(doc)
        spans = [
            Span(doc, one.head, one.end, label=one.key)
            for one in _meant(found)
            if _section(doc[one.start].idx, sections) is not False
        ]
        doc.spans[_SPANS] = spans
        for context in self._contexts:
            context(doc)
        mentions: dict[str, list[Mention]] = {}
        stretches = neighbourhoods(spans)
        for span, stretch, side in zip(spans, stretches, sides_of(spans, stretches), strict=True):
            state = _state(span)
            if state:
                section = _section(span.start_char, sections) or None
                doubt = _doubt(span) if state == "uncertain" else None
                mention = Mention(state, span.start_char, span.end_char, doubt, side, change_of(span, stretch), section)
                mentions.setdefault(span.label_.removeprefix(_DENIED), []).append(mention)
        return mentions


def _meant(found: list[Found]) -> list[Found]:
    """Leave out the phrases that lie in one which means something else."""
    others: dict[str, list[Found]] = {}
    for one in found:
        if one.key.startswith(_OTHER):
            others.setdefault(one.key.removeprefix(_OTHER), []).append(one)
    return [
        one
        for one in found
        if not one.key.startswith(_OTHER)
        and not any(other.start <= one.head and one.end <= other.end for other in others.get(one.key, ()))
    ]


def _state(span: Span) -> State | None:
    if span._.osler_not_now:
        return None
    doubted = _doubt(span)
    if span.label_.startswith(_DENIED):
        before = {token.lower_ for token in span.doc[max(span.sent.start, span.start - 2) : span.start]}
        if before & {"not", "n't"}:
            return None
        return "uncertain" if doubted else "absent"
    if span._.osler_negated:
        return "absent"
    return "uncertain" if doubted else "present"


def _doubt(span: Span) -> Doubt | None:
    if span._.osler_possible:
        return "possible"
    return "probable" if span._.osler_probable else None


def _rank(mention: Mention) -> tuple[int, bool]:
    return _WEIGHT[mention.state], mention.doubt == "probable"


def summary(mentions: Sequence[Mention]) -> Mention:
    """Return the first of the strongest mentions, with the sides of all that are as strong."""
    best = max(mentions, key=_rank)
    sides = {one.side for one in mentions if one.side and _rank(one) == _rank(best)}
    return replace(best, side=together(sides) if sides else None)


def _sections(text: str) -> list[tuple[int, int, Section | Literal[False]]]:
    """Return the character ranges of sections, each with its kind, or False where it does not describe the image."""
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)] * bool(headers)
    return [(one.start(), end, _kind(one.group(1))) for one, end in zip(headers, ends, strict=True)]


def _kind(header: str) -> Section | Literal[False]:
    match = _READ.match(header)
    if not match:
        return False
    return "findings" if match["findings"] else "impression"


def _section(
    position: int, sections: Sequence[tuple[int, int, Section | Literal[False]]]
) -> Section | Literal[False] | None:
    return next((kind for start, end, kind in sections if start <= position < end), None)


@lru_cache(maxsize=8)
def _annotator(phrases: tuple[tuple[str, Phrases], ...]) -> Annotator:
    return Annotator(dict(phrases))


def phrases_of(concepts: Iterable[_Phrases]) -> dict[str, Phrases]:
    """Return the phrases of concepts or findings by identifier."""
    return {one.id: Phrases(tuple(one.terms), tuple(one.absent_terms)) for one in concepts}


def _annotate(reports: Sequence[str], concepts: Iterable[_Phrases]) -> list[dict[str, Mention]]:
    return list(_annotator(tuple(phrases_of(concepts).items()))(reports))


def annotate(reports: Sequence[str], bank: ConceptBank) -> list[dict[str, Mention]]:
    """Return for each report what it says of each concept; a concept that it does not mention is not a key."""
    return _annotate(reports, bank.concepts)


def annotate_findings(reports: Sequence[str], lexicon: Lexicon | None = None) -> list[dict[str, Mention]]:
    """Return for each report what it says of each finding of the lexicon (by default the starter lexicon)."""
    return _annotate(reports, (lexicon or starter_lexicon()).findings)
