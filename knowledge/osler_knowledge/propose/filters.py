"""The filters of M1.1, in order: visible in the image, no paraphrase, no class name, groundable in reports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Corpus, Entry
from osler_knowledge.language import PhraseFinder, english, normalise
from osler_knowledge.lexicon import Lexicon, Observation
from osler_knowledge.propose.candidates import Drop, Reason
from osler_knowledge.retrieval import Retriever

PARAPHRASE = 0.75  # share of words that two questions have in common (Jaccard)
REPORTS_A_CONCEPT = 100
RARER_ANSWER = 0.10


@lru_cache(maxsize=10_000)
def _words(text: str) -> frozenset[str]:
    return frozenset(normalise(token.text) for token in english().make_doc(text) if token.is_alpha)


@lru_cache(maxsize=8)
def _finding_finder(lexicon: Lexicon) -> PhraseFinder:
    return PhraseFinder(english(), {one.id: (*one.terms, one.name) for one in lexicon.findings})


def _named(observation: Observation, lexicon: Lexicon) -> str | None:
    """Return the finding that the question names anywhere, or that the name is nothing but."""
    finder = _finding_finder(lexicon)
    found = finder(english()(observation.question))
    if not found:
        name = english()(observation.name)
        found = [one for one in finder(name) if one.end - one.start == len(name)]
    return found[0].key if found else None


def _same(observation: Observation, other: Observation) -> bool:
    words, theirs = _words(observation.question), _words(other.question)
    if len(words & theirs) >= PARAPHRASE * len(words | theirs):
        return True
    return observation.id == other.id or observation.name in other.terms or other.name in observation.terms


def refusal(
    observation: Observation,
    accepted: Iterable[Observation],
    lexicon: Lexicon,
    reports: ReportSample | None = None,
) -> Drop | None:
    """Return why an observation does not become a concept, or None.

    Args:
        observation: The observation.
        accepted: The concepts so far; questions that share most words, or a name that reports the other, are one.
        lexicon: Has the findings, whose names must not stand in a question.
        reports: Where there are reports, both answers have to occur in them.
    """
    if not observation.visible:
        return Drop(observation.name, Reason.NOT_VISIBLE)
    for other in accepted:
        if _same(observation, other):
            return Drop(observation.name, Reason.PARAPHRASE, other.id)
    if named := _named(observation, lexicon):
        return Drop(observation.name, Reason.NAMES_FINDING, named)
    if reports is not None and (rarer := reports.rarer_answer(observation)) < RARER_ANSWER:
        return Drop(observation.name, Reason.NOT_GROUNDABLE, f"{rarer:.0%}")
    return None


class ReportSample:
    """Reports in which concepts are looked for before they enter the bank.

    For each concept 100 reports are read: the 50 that share most words with it, the others by a hash of their text. A
    report that does not mention a concept answers no; one that doubts it answers nothing.
    """

    def __init__(self, reports: Sequence[str]) -> None:
        texts = sorted({text for text in reports if text.strip()}, key=_hash)
        if len(texts) < REPORTS_A_CONCEPT:
            raise OslerError(
                Code.SUPPORT_INSUFFICIENT,
                f"There are {len(texts)} different reports; whether a concept occurs takes at least"
                f" {REPORTS_A_CONCEPT}.",
                "Give more reports, or none.",
            )
        self._texts = {str(number): text for number, text in enumerate(texts)}
        entries = (Entry(number, "", text, (), "", False) for number, text in self._texts.items())
        self._retriever = Retriever(Corpus(tuple(entries)))
        self._known: dict[Observation, float] = {}

    def rarer_answer(self, observation: Observation) -> float:
        """Return the share of the rarer of yes and no among the reports that are read for a concept."""
        if observation not in self._known:  # one that is refused comes up again with other queries
            self._known[observation] = self._rarer_answer(observation)
        return self._known[observation]

    def _rarer_answer(self, observation: Observation) -> float:
        from osler_knowledge.annotate import Annotator, Phrases  # negspacy is needed only where there are reports

        query = " ".join((observation.name, *observation.terms))
        hits = self._retriever.search(query, REPORTS_A_CONCEPT)
        near = list(dict.fromkeys(hit.snippet.entry for hit in hits))[: REPORTS_A_CONCEPT // 2]
        chosen = list(dict.fromkeys((*near, *self._texts)))[:REPORTS_A_CONCEPT]
        annotator = Annotator({observation.id: Phrases(observation.terms, observation.absent_terms)})
        mentions = [one.get(observation.id) for one in annotator(self._texts[number] for number in chosen)]
        answers = [
            one is not None and one.state == "present" for one in mentions if not one or one.state != "uncertain"
        ]
        return min(sum(answers), len(answers) - sum(answers)) / len(answers) if answers else 0.0


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
