"""The offline proposer: the observations of a lexicon that a retrieved passage speaks of. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from osler_knowledge.bank import Citation
from osler_knowledge.corpus import Entry, Snippet, sentences
from osler_knowledge.language import PhraseFinder, english
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.prior import cite
from osler_knowledge.propose.candidates import Candidate, Drop


@lru_cache(maxsize=8)
def _observation_finder(lexicon: Lexicon) -> PhraseFinder:
    return PhraseFinder(english(), {one.id: (*one.terms, one.name) for one in lexicon.observations})


class OfflineProposer:
    """Finds the phrases of a lexicon; see `osler_knowledge.propose.candidates.Propose`."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._finder = _observation_finder(lexicon)
        self._read: dict[Snippet, list[tuple[str, Citation]]] = {}
        self._titles: dict[str, frozenset[str]] = {}

    def __call__(
        self, query: str, snippets: Sequence[Snippet], entries: Sequence[Entry]
    ) -> tuple[list[Candidate], list[Drop]]:
        """Return a candidate for each observation: the best passage is of an entry about it, then of the best rank."""
        candidates: dict[str, list[tuple[bool, int, int, Citation]]] = {}
        for rank, (snippet, entry) in enumerate(zip(snippets, entries, strict=True)):
            for observation, citation in self._mentions(snippet, entry):
                aside = observation not in self._titles[entry.id]
                candidates.setdefault(observation, []).append((aside, rank, citation.start, citation))
        best = {observation: min(cited, key=lambda one: one[:3]) for observation, cited in candidates.items()}
        return [Candidate(self._lexicon.by_id[key], one[3], about=not one[0]) for key, one in best.items()], []

    def _observed(self, text: str) -> list[str]:
        return list(dict.fromkeys(one.key for one in self._finder(english()(text))))

    def _mentions(self, snippet: Snippet, entry: Entry) -> list[tuple[str, Citation]]:
        """Return observations with the sentence of the snippet that speaks of them; each snippet is read once."""
        if entry.id not in self._titles:
            self._titles[entry.id] = frozenset(self._observed(entry.title))
        if snippet not in self._read:
            self._read[snippet] = [
                (observation, cite(entry, snippet.start + start, snippet.start + end))
                for start, end in sentences(snippet.text)
                for observation in self._observed(snippet.text[start:end])
            ]
        return self._read[snippet]
