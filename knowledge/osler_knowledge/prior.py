"""The parameter prior, read from text (M1.4): which sentence says that an observation speaks for or against a finding.

`osler_knowledge.prior_reading` reads a sentence with the cues of `osler_knowledge.prior_cues`. What no sentence speaks of
stays unknown, which is not the same as 0.

`normal` is special: an observation that speaks for any other finding speaks against a normal image. Where a sentence
says so, it is cited; otherwise the passage that speaks for the other finding is, at half its confidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from osler_knowledge.concept import Citation, Evidence, PriorEvidence
from osler_knowledge.corpus import Corpus, Entry, trimmed
from osler_knowledge.language import GAP, Found, PhraseFinder, english
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.prior_reading import cue_phrases, readings

NORMAL = "normal"
DERIVED_SHARE = 0.5


@dataclass(frozen=True)
class Statement:
    """One reading: a sentence says that an observation speaks for (+1), against (-1) or neither (0) of a finding."""

    observation: str
    finding: str
    value: int
    confidence: float
    citation: Citation
    source: Evidence = "text"


def cite(entry: Entry, start: int, end: int) -> Citation:
    """Return the citation of `entry.text[start:end]`."""
    return Citation(entry.id, entry.title, entry.text[start:end], start, end, entry.references)


class PriorReader:
    """Reads statements from a corpus with the words of a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        # A phrase with a gap is made for reports: in prose its gap may swallow the cue.
        phrases: dict[str, tuple[str, ...]] = {
            f"sign:{one.id}": tuple(term for term in one.terms if GAP not in term) for one in lexicon.observations
        }
        phrases |= {f"finding:{one.id}": (*one.terms, one.name) for one in lexicon.findings}
        phrases |= {"finding:*": lexicon.any_finding}
        self._finder = PhraseFinder(english(), phrases | cue_phrases())

    def statements(self, corpus: Corpus) -> list[Statement]:
        """Return every statement of the corpus, in its order."""
        return [statement for entry in corpus.entries for statement in self._of_entry(entry)]

    def _of_entry(self, entry: Entry) -> Iterator[Statement]:
        doc = english()(entry.text)
        found = self._finder(doc)
        for sentence in doc.sents:
            inside = [one for one in found if sentence.start <= one.start and one.end <= sentence.end]
            citation = cite(entry, *trimmed(sentence))
            for sign, finding, value, confidence in readings(doc, _longest(inside), self._lexicon.finding_ids):
                yield Statement(sign, finding, value, confidence, citation)


def _longest(found: list[Found]) -> list[Found]:
    """Drop what lies inside something longer, such as "effusion" inside "bilateral effusions"."""
    return [
        one
        for one in found
        if not any(
            other.start <= one.start and one.end <= other.end and other.end - other.start > one.end - one.start
            for other in found
            if _kind(one) != "sign" or _kind(other) != "sign"
        )
    ]


def _kind(found: Found) -> str:
    return found.key.split(":", 1)[0]


@dataclass(frozen=True)
class Prior:
    """All evidence of a corpus; `of` settles it for one observation."""

    statements: tuple[Statement, ...]
    findings: tuple[str, ...]

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], list[Statement]]:
        pairs: dict[tuple[str, str], list[Statement]] = defaultdict(list)
        for statement in self.statements:
            pairs[statement.observation, statement.finding].append(statement)
        return pairs

    def conflicts(self) -> list[tuple[str, str]]:
        """Return the pairs of which the corpus says both for and against: the text wants mending."""
        return sorted(pair for pair, some in self._by_pair.items() if {1, -1} <= {one.value for one in some})

    def of(self, observation: str) -> dict[str, PriorEvidence]:
        """Return the evidence by finding; a finding of which no sentence speaks is left out."""
        evidence = {
            finding: _settle(self._by_pair[observation, finding])
            for finding in self.findings
            if (observation, finding) in self._by_pair
        }
        for_disease = [one for finding, one in evidence.items() if finding != NORMAL and one.value == 1]
        if NORMAL in self.findings and NORMAL not in evidence and for_disease:
            best = max(for_disease, key=lambda one: one.confidence)
            evidence[NORMAL] = PriorEvidence(
                -1, round(best.confidence * DERIVED_SHARE, 3), best.citation, best.evidence
            )
        return evidence


def _settle(statements: list[Statement]) -> PriorEvidence:
    """Let the weightier side win; its most confident sentence is cited, its confidence shrinks by the dissent."""
    weights: dict[int, float] = defaultdict(float)
    for one in statements:
        weights[one.value] += one.confidence
    value = max(sorted(weights), key=lambda key: weights[key])
    best = max((one for one in statements if one.value == value), key=lambda one: one.confidence)
    share = weights[value] / sum(weights.values())
    return PriorEvidence(value, round(best.confidence * share, 3), best.citation, best.source)


@lru_cache(maxsize=4)
def _reader(lexicon: Lexicon) -> PriorReader:
    return PriorReader(lexicon)


def read_prior(corpus: Corpus, lexicon: Lexicon) -> Prior:
    """Read the prior of a corpus."""
    return Prior(tuple(_reader(lexicon).statements(corpus)), lexicon.finding_ids)
