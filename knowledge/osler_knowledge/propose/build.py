"""From text to a bank: proposals in the order of the lexicon, each with its passage and the prior that text gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Concept, ConceptBank
from osler_knowledge.corpus import Corpus, load_corpus
from osler_knowledge.lexicon import Lexicon, starter_lexicon
from osler_knowledge.prior import Prior, Statement, read_prior
from osler_knowledge.propose.candidates import Drop, Proposal, Propose
from osler_knowledge.propose.filters import ReportSample
from osler_knowledge.propose.offline import OfflineProposer
from osler_knowledge.propose.walk import LARGEST_BANK, Walk, walk
from osler_knowledge.retrieval import Retriever, Searcher
from osler_knowledge.tasks import DEFAULT_TASK


class PriorSource(Protocol):
    """Gives statements beside those that the reader finds in the text, such as the answers of a server."""

    def __call__(self, state: Walk, lexicon: Lexicon) -> Sequence[Statement]:
        """Return statements on what the walk has found so far."""
        ...


@dataclass(frozen=True)
class Proposed:
    """A bank, and how it came about.

    Attributes:
        bank: The bank.
        drops: What was dropped, and how often.
        queries: Number of queries put to the proposer.
        passages: Number of its passages, each found verbatim at its offsets.
        conflicts: Pairs of observation and finding of which the text says both for and against.
        stopped: Why the proposer stopped early; empty where it did not.
    """

    bank: ConceptBank
    drops: Counter[Drop]
    queries: int
    passages: int
    conflicts: tuple[tuple[str, str], ...]
    stopped: str = ""


def build_bank(
    corpus: Corpus | None = None,
    lexicon: Lexicon | None = None,
    *,
    retriever: Retriever | None = None,
    task: str = DEFAULT_TASK,
    version: int = 1,
    limit: int = LARGEST_BANK,
) -> ConceptBank:
    """Build a concept bank offline: which concepts exist, and what they speak for.

    Args:
        corpus: The text; by default the starter corpus.
        lexicon: The observations that may become concepts, and the findings.
        retriever: An index of the same corpus, where one is at hand.
        task: Names the bank, and the starter corpus and lexicon where none is given.
        version: Its version.
        limit: The largest number of concepts.
    """
    retriever = retriever or Retriever(corpus or load_corpus(task=task))
    return propose_bank(retriever, lexicon, task=task, version=version, limit=limit).bank


def propose_bank(
    retriever: Searcher,
    lexicon: Lexicon | None = None,
    *,
    propose: Propose | None = None,
    prior_of: PriorSource | None = None,
    reports: ReportSample | None = None,
    task: str = DEFAULT_TASK,
    version: int = 1,
    limit: int = LARGEST_BANK,
) -> Proposed:
    """Build a concept bank and say how it came about.

    Args:
        retriever: The index of a corpus, in memory or on disk.
        lexicon: The findings, and the observations that the offline proposer looks for; by default the task's.
        propose: The proposer; by default the offline one.
        prior_of: Where further evidence comes from, beside what the text states.
        reports: Reports in which both answers to a question have to occur.
        task: Names the bank.
        version: Its version.
        limit: The largest number of concepts.
    """
    lexicon = lexicon or starter_lexicon(task)
    state = walk(propose or OfflineProposer(lexicon), retriever, lexicon, limit=limit, reports=reports)
    strangers = [one.observation for one in state.accepted.values() if one.observation.id not in lexicon.by_id]
    lexicon = replace(lexicon, observations=(*lexicon.observations, *strangers)) if strangers else lexicon
    prior = _prior(state, lexicon)
    if prior_of is not None:
        prior = Prior((*prior.statements, *prior_of(state, lexicon)), prior.findings)
    order = {one.id: place for place, one in enumerate(lexicon.observations)}
    proposals = sorted(state.accepted.values(), key=lambda one: order[one.observation.id])
    concepts = tuple(_concept(one, prior) for one in proposals)
    bank = ConceptBank(task, version, lexicon.modality, lexicon.finding_ids, concepts)
    passages = _looked_up(bank, retriever)
    return Proposed(bank, state.drops, state.queries, passages, tuple(prior.conflicts()), state.stopped)


def _looked_up(bank: ConceptBank, retriever: Searcher) -> int:
    """Require that every passage stands at its place in the index, and return how many there are."""
    citations = [one.citation for one in bank.concepts]
    citations += [one.citation for concept in bank.concepts for one in concept.prior.values() if one.citation]
    for one in citations:
        if retriever.entry(one.entry).text[one.start : one.end] != one.passage:
            raise OslerError(
                Code.INDEX_INVALID,
                f"The index does not hold the passage that was read from its entry {one.entry!r}.",
                "Build the index again.",
            )
    return len(citations)


def _prior(state: Walk, lexicon: Lexicon) -> Prior:
    """Read the entries that were retrieved: a corpus on disk may be too large to read whole."""
    entries = sorted(state.entries.values(), key=lambda one: one.id)
    return read_prior(Corpus(tuple(entries)), lexicon)


def _concept(proposal: Proposal, prior: Prior) -> Concept:
    observation = proposal.observation
    return Concept(
        id=observation.id,
        name=observation.name,
        question=observation.question,
        region=observation.region,
        citation=proposal.citation,
        prior=prior.of(observation.id),
        terms=observation.terms,
        absent_terms=observation.absent_terms,
        query=proposal.query,
    )
