"""What a proposer answers, what becomes of it, and the one interface that every proposer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from osler_knowledge.bank import Citation
from osler_knowledge.corpus import Entry, Snippet
from osler_knowledge.lexicon import Observation


class Reason(StrEnum):
    """Why something that was proposed does not become a concept."""

    NOT_VISIBLE = "not visible in the image"
    PARAPHRASE = "a paraphrase of another concept"
    NAMES_FINDING = "names a finding"
    NOT_GROUNDABLE = "too rare or too common in the reports"
    MALFORMED = "lacks a part or has a wrong one"
    CITES_NOTHING = "cites nothing"
    NOT_RETRIEVED = "cites a document that was not retrieved"
    NOT_VERBATIM = "cites words that the passage does not have"


class Closeness(IntEnum):
    """How directly a passage speaks of an observation."""

    MENTIONS = 0
    BEGINS = 1  # the sentence begins with it
    ABOUT = 2  # the title of the entry names it


@dataclass(frozen=True)
class Candidate:
    """An observation with the passage that speaks of it.

    Attributes:
        observation: What could be asked of an image.
        citation: The passage, verbatim from a snippet that was retrieved.
        closeness: How directly the passage speaks of it.
    """

    observation: Observation
    citation: Citation
    closeness: Closeness = Closeness.MENTIONS


@dataclass(frozen=True)
class Proposal:
    """A candidate that passed the filters: the query that led to it, the documents retrieved, and the passage."""

    observation: Observation
    query: str
    retrieved: tuple[str, ...]
    citation: Citation
    closeness: Closeness = Closeness.MENTIONS


@dataclass(frozen=True)
class Drop:
    """A candidate that was dropped; `detail` names what it collided with, where there is such a thing."""

    name: str
    reason: Reason
    detail: str = ""


class Propose(Protocol):
    """A proposer: for one subject and the best snippet of each retrieved document, candidates and what it dropped."""

    def __call__(
        self, query: str, snippets: Sequence[Snippet], entries: Sequence[Entry]
    ) -> tuple[list[Candidate], list[Drop]]:
        """Return the candidates of one subject, and what was dropped."""
        ...
