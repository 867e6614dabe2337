"""The offline proposer: the observations of a lexicon that a retrieved passage speaks of. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from osler_knowledge.bank import Citation
from osler_knowledge.corpus import Entry, Snippet, sentences
from osler_knowledge.language import PhraseFinder, english
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.prior import cite
from osler_knowledge.propose.candidates import Candidate, Closeness, Drop

LONGEST_ARTICLE = 1  # tokens before an observation that a sentence begins with: "a", "the"


def _closeness(aside: bool, unled: bool) -> Closeness:
    return Closeness.MENTIONS if unled else Closeness.BEGINS if aside else Closeness.ABOUT


@lru_cache(maxsize=8)
def _observation_finder(lexicon: Lexicon) -> PhraseFinder:
    return PhraseFinder(english(), {one.id: (*one.terms, one.name) for one in lexicon.observations})


class OfflineProposer:
    """Finds the phrases of a lexicon; see `osler_knowledge.propose.candidates.Propose`."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._finder = _observation_finder(lexicon)
        self._read: dict[Snippet, list[tuple[str, bool, Citation]]] = {}
        self._titles: dict[str, frozenset[str]] = {}

    def __call__(
        self, query: str, snippets: Sequence[Snippet], entries: Sequence[Entry]
    ) -> tuple[list[Candidate], list[Drop]]:
        """Return a candidate for each observation.

        The best passage is of an entry about it; failing that, a sentence that begins with it; then of the best rank.
        """
        candidates: dict[str, list[tuple[bool, bool, int, int, Citation]]] = {}
        for rank, (snippet, entry) in enumerate(zip(snippets, entries, strict=True)):
            for observation, begins, citation in self._mentions(snippet, entry):
                aside = observation not in self._titles[entry.id]
                place = (aside, aside and not begins, rank, citation.start, citation)
                candidates.setdefault(observation, []).append(place)
        best = {observation: min(cited, key=lambda one: one[:4]) for observation, cited in candidates.items()}
        return [Candidate(self._lexicon.by_id[key], one[4], _closeness(*one[:2])) for key, one in best.items()], []

    def _observed(self, text: str) -> dict[str, bool]:
        """Return the observations of a text, and whether it begins with them."""
        observed: dict[str, bool] = {}
        for one in self._finder(english()(text)):
            observed[one.key] = observed.get(one.key, False) or one.start <= LONGEST_ARTICLE
        return observed

    def _mentions(self, snippet: Snippet, entry: Entry) -> list[tuple[str, bool, Citation]]:
        """Return observations with the sentence of the snippet that speaks of them; each snippet is read once."""
        if entry.id not in self._titles:
            self._titles[entry.id] = frozenset(self._observed(entry.title))
        if snippet not in self._read:
            self._read[snippet] = [
                (observation, begins, cite(entry, snippet.start + start, snippet.start + end))
                for start, end in sentences(snippet.text)
                for observation, begins in self._observed(snippet.text[start:end]).items()
            ]
        return self._read[snippet]
