"""The offline proposer (M1.1): findings are queries, retrieved passages give concepts, concepts are queries in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from osler_knowledge.bank import Citation, Concept, ConceptBank
from osler_knowledge.corpus import Corpus, Snippet, load_corpus, sentences
from osler_knowledge.language import GAP, PhraseFinder, english, normalise
from osler_knowledge.lexicon import Lexicon, Observation, starter_lexicon
from osler_knowledge.prior import cite, read_prior
from osler_knowledge.retrieval import Retriever
from osler_knowledge.tasks import DEFAULT_TASK

RETRIEVED = 50
DOCUMENTS_A_QUERY = 10
LARGEST_BANK = 200
PARAPHRASE = 0.75  # share of words that two questions have in common (Jaccard)


@dataclass(frozen=True)
class Proposal:
    """An observation that retrieval supports: the query, the documents it retrieved, and the passage."""

    observation: Observation
    query: str
    retrieved: tuple[str, ...]
    citation: Citation


def _words(text: str) -> frozenset[str]:
    return frozenset(normalise(token.text) for token in english().make_doc(text) if token.is_alpha)


@lru_cache(maxsize=4)
def _finding_finder(lexicon: Lexicon) -> PhraseFinder:
    return PhraseFinder(english(), {one.id: (*one.terms, one.name) for one in lexicon.findings})


def refusal(observation: Observation, accepted: list[Observation], lexicon: Lexicon) -> str | None:
    """Return why an observation does not become a concept, or None.

    The filters of M1.1, in order: visible in the image, no class name in the question, not a paraphrase of an accepted
    one (questions that share most words, or a name that reports the other).
    """
    if not observation.visible:
        return "not visible in the image"
    named = _finding_finder(lexicon)(english()(observation.question))
    if named:
        return f"names the finding {named[0].key}"
    words = _words(observation.question)
    for other in accepted:
        theirs = _words(other.question)
        if len(words & theirs) / len(words | theirs) >= PARAPHRASE or observation.name in other.terms:
            return f"a paraphrase of {other.id}"
    return None


class Proposer:
    """Walks the queue of queries over one corpus."""

    def __init__(self, retriever: Retriever, lexicon: Lexicon) -> None:
        self._retriever = retriever
        self._corpus = retriever.corpus
        self._lexicon = lexicon
        self._finder = PhraseFinder(english(), {one.id: (*one.terms, one.name) for one in lexicon.observations})
        self._read: dict[Snippet, list[tuple[str, Citation]]] = {}
        self._titles = {entry.id: set(self._observed(entry.title)) for entry in self._corpus.entries}

    def _observed(self, text: str) -> list[str]:
        return list(dict.fromkeys(one.key for one in self._finder(english()(text))))

    def run(self, limit: int = LARGEST_BANK) -> list[Proposal]:
        """Return accepted proposals in the order of discovery.

        The queue starts with the findings and the words for them. A concept's own query may replace its citation, once,
        by a passage of an entry about it; the query noted is the one that retrieved the passage.
        """
        names = [term for one in self._lexicon.findings for term in (one.name, *one.terms) if GAP not in term]
        queue = deque([("", name) for name in dict.fromkeys(names)])
        accepted: dict[str, Proposal] = {}
        while queue and len(accepted) < limit:
            subject, words = queue.popleft()
            for proposal in self._propose(words):
                observation = proposal.observation
                if observation.id == subject and observation.id in self._titles[proposal.citation.entry]:
                    accepted[subject] = proposal
                others = [one.observation for one in accepted.values()]
                if observation.id in accepted or refusal(observation, others, self._lexicon):
                    continue
                accepted[observation.id] = proposal
                queue.append((observation.id, observation.name))
        return list(accepted.values())[:limit]

    def _propose(self, subject: str) -> Iterator[Proposal]:
        """Yield a proposal for each observation in the passages retrieved for one subject."""
        query = f"{self._lexicon.modality} {subject} diagnosis criteria"
        snippets = self._documents(query)
        retrieved = tuple(snippet.entry for snippet in snippets)
        candidates: dict[str, list[tuple[bool, int, int, Citation]]] = {}
        for rank, snippet in enumerate(snippets):
            for observation, citation in self._mentions(snippet):
                aside = observation not in self._titles[snippet.entry]
                candidates.setdefault(observation, []).append((aside, rank, citation.start, citation))
        for observation, cited in candidates.items():
            best = min(cited, key=lambda one: one[:3])[3]
            yield Proposal(self._lexicon.by_id[observation], query, retrieved, best)

    def _documents(self, query: str) -> list[Snippet]:
        """Return the best snippet of each of the first ten documents."""
        best: dict[str, Snippet] = {}
        for hit in self._retriever.search(query, RETRIEVED):
            best.setdefault(hit.snippet.entry, hit.snippet)
        return list(best.values())[:DOCUMENTS_A_QUERY]

    def _mentions(self, snippet: Snippet) -> list[tuple[str, Citation]]:
        """Return observations with the sentence of the snippet that speaks of them; each snippet is read once."""
        if snippet not in self._read:
            entry = self._corpus.by_id[snippet.entry]
            self._read[snippet] = [
                (observation, cite(entry, snippet.start + start, snippet.start + end))
                for start, end in sentences(snippet.text)
                for observation in self._observed(snippet.text[start:end])
            ]
        return self._read[snippet]


def build_bank(
    corpus: Corpus | None = None,
    lexicon: Lexicon | None = None,
    *,
    retriever: Retriever | None = None,
    task: str = DEFAULT_TASK,
    version: str = "1",
    limit: int = LARGEST_BANK,
) -> ConceptBank:
    """Build a concept bank from text: which concepts exist, and what they speak for.

    Args:
        corpus: The text; by default the starter corpus.
        lexicon: The observations that may become concepts, and the findings.
        retriever: An index of the same corpus, where one is at hand.
        task: Names the bank, and the starter corpus and lexicon where none is given.
        version: Its version.
        limit: The largest number of concepts.
    """
    corpus = corpus or (retriever.corpus if retriever else load_corpus(task=task))
    lexicon = lexicon or starter_lexicon(task)
    prior = read_prior(corpus, lexicon)
    order = {one.id: place for place, one in enumerate(lexicon.observations)}
    proposals = Proposer(retriever or Retriever(corpus), lexicon).run(limit)
    concepts = tuple(
        Concept(
            id=one.observation.id,
            name=one.observation.name,
            question=one.observation.question,
            region=one.observation.region,
            citation=one.citation,
            prior=prior.of(one.observation.id),
            terms=one.observation.terms,
            absent_terms=one.observation.absent_terms,
            query=one.query,
        )
        for one in sorted(proposals, key=lambda one: order[one.observation.id])
    )
    return ConceptBank(task, version, lexicon.modality, lexicon.finding_ids, concepts)
