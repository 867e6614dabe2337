"""Checks of a bank that somebody brings: can its concepts be read in reports, and do its passages stand in the corpus?"""

from __future__ import annotations

from collections.abc import Iterator

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, ConceptBank
from osler_knowledge.corpus import Corpus
from osler_knowledge.lexicon import Lexicon


def check_concepts(bank: ConceptBank, lexicon: Lexicon) -> None:
    """Require that every concept is of the lexicon or brings its own phrases.

    Raises:
        OslerError: `unknown-concept`; nothing could be read about such a concept in a report.
    """
    unknown = [one.id for one in bank.concepts if not one.terms and one.id not in lexicon.by_id]
    if unknown:
        raise OslerError(
            Code.UNKNOWN_CONCEPT,
            f"The bank {bank.name!r} has concepts that the lexicon does not know and that bring no phrases of their own:"
            f" {', '.join(unknown)}.",
            "Correct the identifiers, or give each concept the phrases that report it under `terms`.",
        )


def check_citations(bank: ConceptBank, corpus: Corpus) -> int:
    """Require that every passage stands verbatim at its offsets, and return how many passages there are.

    Raises:
        OslerError: `bank-invalid`.
    """
    count = 0
    for concept, citation in _citations(bank):
        entry = corpus.by_id.get(citation.entry)
        if entry is None:
            raise _invalid(
                f"The concept {concept!r} cites the entry {citation.entry!r}, which the corpus does not have."
            )
        if entry.text[citation.start : citation.end] != citation.passage:
            raise _invalid(
                f"The passage of the concept {concept!r} is not in the entry {citation.entry!r} at its offsets."
            )
        count += 1
    return count


def _citations(bank: ConceptBank) -> Iterator[tuple[str, Citation]]:
    for concept in bank.concepts:
        yield concept.id, concept.citation
        yield from ((concept.id, one.citation) for one in concept.prior.values() if one.citation)


def _invalid(message: str) -> OslerError:
    return OslerError(
        Code.BANK_INVALID, message, "Name the corpus that the bank was built from with --corpus, or build it again."
    )
