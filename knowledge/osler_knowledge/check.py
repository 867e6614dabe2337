"""Checks of a bank that somebody brings: can its concepts be read in reports, and do its passages stand in the corpus?"""

from __future__ import annotations

from collections.abc import Iterator

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, ConceptBank
from osler_knowledge.corpus import Corpus
from osler_knowledge.diff import differences, in_short, told
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


def require_line_of_descent(old: ConceptBank, new: ConceptBank) -> None:
    """Require that a bank continues another: the same history, and then perhaps more of it.

    Raises:
        OslerError: `bank-mismatch`; versions only go up, and no step of a history is lost.
    """
    continues = new.history[: len(old.history)] == old.history and new.version >= old.version
    if continues and (new.version > old.version or new.same_content(old)):
        return
    lost = len(old.history) - _shared(old, new)
    raise OslerError(
        Code.BANK_MISMATCH,
        f"Version {new.version} does not follow version {old.version} of the bank {old.name!r}: "
        + (f"{lost} steps of its history would be lost." if lost else "the same version says something else."),
        "Import it as another task, or carry the steps over by hand and propose again.",
    )


def _shared(old: ConceptBank, new: ConceptBank) -> int:
    """Return how many steps the two have in common from the beginning."""
    return next(
        (number for number, (one, other) in enumerate(zip(old.history, new.history, strict=False)) if one != other),
        min(len(old.history), len(new.history)),
    )


def require_model_of(model: ConceptBank, bank: ConceptBank) -> None:
    """Require that a model was fitted on just this bank; a model has the concepts that could be grounded.

    Args:
        model: The bank inside the model.
        bank: The bank that it shall be used with.

    Raises:
        OslerError: `bank-mismatch`, with what changed since.
    """
    known = [one for one in model.ids if one in bank.ids]
    theirs = bank.subset(known)
    if bank.name == model.name and bank.version == model.version and theirs.digest == model.digest:
        return
    since = [told(one) for one in bank.history if one.version > model.version] if bank.name == model.name else []
    changed = since or differences(model, theirs) or differences(model, bank)
    raise OslerError(
        Code.BANK_MISMATCH,
        f"The model was fitted on version {model.version} of the bank {model.name!r} and this is version {bank.version}"
        + (f" of {bank.name!r}" if bank.name != model.name else "")
        + f". {in_short(changed) or 'They have no concept in common.'}",
        "Fit the model again on this version, or use the version that it was fitted on.",
    )
