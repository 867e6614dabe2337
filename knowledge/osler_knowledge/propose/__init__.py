"""Proposal of concepts (M1.1): findings are queries, retrieved passages give concepts, concepts are queries in turn."""

from osler_knowledge.propose.build import Proposed, build_bank, propose_bank
from osler_knowledge.propose.candidates import Candidate, Drop, Proposal, Propose, Reason
from osler_knowledge.propose.filters import ReportSample, refusal
from osler_knowledge.propose.walk import DOCUMENTS_A_QUERY, LARGEST_BANK, RETRIEVED

__all__ = [
    "DOCUMENTS_A_QUERY",
    "LARGEST_BANK",
    "RETRIEVED",
    "Candidate",
    "Drop",
    "Proposal",
    "Propose",
    "Proposed",
    "Reason",
    "ReportSample",
    "build_bank",
    "propose_bank",
    "refusal",
]
