"""The queue of M1.1: subjects are queries, what a proposer reads in the passages is filtered and queued in its turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from osler_knowledge.corpus import Entry, Snippet
from osler_knowledge.language import GAP
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.propose.candidates import Candidate, Closeness, Drop, Proposal, Propose
from osler_knowledge.propose.filters import ReportSample, refusal
from osler_knowledge.retrieval import Searcher

RETRIEVED = 50
DOCUMENTS_A_QUERY = 10
LARGEST_BANK = 200


class StopError(Exception):
    """Raised by a proposer that can go no further; what was accepted so far stands."""


@dataclass
class Walk:
    """The state of one walk over the queue.

    Attributes:
        accepted: Proposals by the identifier of their observation, in the order of discovery.
        drops: What was dropped, and how often.
        entries: Every entry that was retrieved, by identifier.
        queries: Number of queries put to the proposer.
        stopped: Why the walk ended early; empty where it did not.
    """

    accepted: dict[str, Proposal] = field(default_factory=dict)
    drops: Counter[Drop] = field(default_factory=Counter)
    entries: dict[str, Entry] = field(default_factory=dict)
    queries: int = 0
    stopped: str = ""
    _used: dict[str, set[str]] = field(default_factory=dict)

    def documents(self, retriever: Searcher, query: str) -> list[Snippet]:
        """Return the best snippet of each of the first ten documents that this query has not used yet."""
        used = self._used.setdefault(query, set())
        best: dict[str, Snippet] = {}
        for hit in retriever.search(query, RETRIEVED):
            if hit.snippet.entry not in used:
                best.setdefault(hit.snippet.entry, hit.snippet)
        chosen = list(best.values())[:DOCUMENTS_A_QUERY]
        used.update(one.entry for one in chosen)
        for one in chosen:
            if one.entry not in self.entries:
                self.entries[one.entry] = retriever.entry(one.entry)
        return chosen


def subjects(lexicon: Lexicon) -> list[str]:
    """Return what the queue starts with: the findings and the words for them."""
    names = [term for one in lexicon.findings for term in (one.name, *one.terms) if GAP not in term]
    return list(dict.fromkeys(names))


def walk(
    propose: Propose,
    retriever: Searcher,
    lexicon: Lexicon,
    *,
    limit: int = LARGEST_BANK,
    reports: ReportSample | None = None,
    start: list[str] | None = None,
) -> Walk:
    """Walk over the queue until it is empty, the bank is full or the proposer stops.

    A concept's own query may replace its citation, once, by a passage that speaks of it more directly; the query
    noted is the one that retrieved the passage.
    """
    state = Walk()
    asked = [("", name) for name in (subjects(lexicon) if start is None else start)]
    grown = True
    while grown and not state.stopped:  # a further round gives each query its next ten documents
        before = len(state.accepted)
        _round(state, asked, propose, retriever, lexicon, limit, reports)
        grown = before < len(state.accepted) < limit
    return state


def _round(
    state: Walk,
    asked: list[tuple[str, str]],
    propose: Propose,
    retriever: Searcher,
    lexicon: Lexicon,
    limit: int,
    reports: ReportSample | None,
) -> None:
    """Put every query once; what is accepted is asked in its turn and stays in `asked` for the next round."""
    for subject, words in asked:  # grows while it is walked
        query = f"{lexicon.modality} {words} diagnosis criteria"
        snippets = state.documents(retriever, query)
        if not snippets:
            continue
        try:
            candidates, drops = propose(query, snippets, [state.entries[one.entry] for one in snippets])
        except StopError as stop:
            state.stopped = str(stop)
            return
        state.queries += 1
        state.drops.update(drops)
        retrieved = tuple(one.entry for one in snippets)
        for candidate in candidates:
            name = _take(candidate, subject, query, retrieved, state, lexicon, reports)
            if name:
                state.accepted[candidate.observation.id] = Proposal(
                    candidate.observation, query, retrieved, candidate.citation, candidate.closeness
                )
                asked.append((candidate.observation.id, name))
            if len(state.accepted) >= limit:
                return


def _take(
    candidate: Candidate,
    subject: str,
    query: str,
    retrieved: tuple[str, ...],
    state: Walk,
    lexicon: Lexicon,
    reports: ReportSample | None,
) -> str | None:
    """Return the name under which a new concept is queued; None where the candidate is none."""
    observation = candidate.observation
    if observation.id in state.accepted:
        held = state.accepted[observation.id]
        closer = candidate.closeness == Closeness.ABOUT or candidate.closeness > held.closeness
        if observation.id == subject and closer:
            state.accepted[subject] = Proposal(
                held.observation, query, retrieved, candidate.citation, candidate.closeness
            )
        return None
    accepted = [one.observation for one in state.accepted.values()]
    drop = refusal(observation, accepted, lexicon, reports)
    if drop:
        state.drops[drop] += 1
        return None
    return observation.name
