"""Review: pure steps from one bank to the next, each named, dated and reasoned; the same step gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Concept, Figure, PriorEvidence, Status
from osler_knowledge.history import Action, Change, moment

SIGNS = {1: "for", 0: "neither", -1: "against", None: "unknown"}
VALUES: Mapping[str, int | None] = {word: value for value, word in SIGNS.items()}
BY_HAND = 1.0  # the confidence of what a person set


@dataclass(frozen=True)
class Reviewer:
    """Who changes a bank, when and why.

    Attributes:
        by: Name.
        time: ISO 8601 with a time zone; the caller gives it, so that a step can be repeated byte by byte.
        reason: Why; a bank that is defended needs one for whatever is not an acceptance.
    """

    by: str
    time: str
    reason: str = ""


def accept(bank: ConceptBank, concept_id: str, who: Reviewer) -> ConceptBank:
    """Accept a concept, or take a retired one back.

    Raises:
        OslerError: `unknown-concept`; `nothing-changed` where it is accepted already.
    """
    concept = bank.concept(concept_id)
    if concept.status == "accepted":
        raise _nothing(f"The concept {concept_id!r} is accepted already.")
    return _step(bank, replace(concept, status="accepted"), "accepted", who, {"status": concept.status}, {})


def retire(bank: ConceptBank, concept_id: str, who: Reviewer) -> ConceptBank:
    """Retire a concept: it stays in the bank, and no model is fitted on it any more.

    Raises:
        OslerError: `unknown-concept`; `usage` without a reason; `nothing-changed` where it is retired already.
    """
    concept = bank.concept(concept_id)
    _need_reason(who)
    if concept.status == "retired":
        raise _nothing(f"The concept {concept_id!r} is retired already.")
    return _step(bank, replace(concept, status="retired"), "retired", who, {"status": concept.status}, {})


def reword(
    bank: ConceptBank, concept_id: str, who: Reviewer, *, question: str | None = None, name: str | None = None
) -> ConceptBank:
    """Give a concept another question or name: the identifier stays, the old wording stays in the history.

    A concept that was accepted is proposed again: nobody has accepted the new words.

    Raises:
        OslerError: `unknown-concept`; `usage` without a reason; `nothing-changed`; `bank-invalid` for words that are none.
    """
    concept = bank.concept(concept_id)
    _need_reason(who)
    asked = {"question": question, "name": name}
    after = {key: text.strip() for key, text in asked.items() if text is not None}
    before = {"question": concept.question, "name": concept.name}
    after = {key: text for key, text in after.items() if text != before[key]}
    if not after:
        raise _nothing(f"The concept {concept_id!r} has these words already.")
    status: Status = "retired" if concept.status == "retired" else "proposed"
    fresh = replace(
        concept,
        question=after.get("question", concept.question),
        name=after.get("name", concept.name),
        status=status,
    )
    return _step(bank, fresh, "reworded", who, {key: before[key] for key in after}, after)


def set_prior(bank: ConceptBank, concept_id: str, finding: str, value: int | None, who: Reviewer) -> ConceptBank:
    """Set by hand what a concept says of a finding; None is unknown, which leaves it to the data and is not 0.

    The passage that was there stays as evidence only where the value stays.

    Raises:
        OslerError: `unknown-concept`; `bank-invalid` for a finding that the bank lacks; `usage` without a reason;
            `nothing-changed`.
    """
    concept = bank.concept(concept_id)
    _need_reason(who)
    bank.prior_matrix((finding,))  # refuses a stranger
    held = concept.prior.get(finding)
    if (held.value if held else None) == value and (held is None or held.evidence == "by hand"):
        raise _nothing(f"The prior of {concept_id!r} for {finding} is {SIGNS[value]} already.")
    prior = {name: one for name, one in concept.prior.items() if name != finding}
    if value is not None:
        passage = held.citation if held and held.value == value else None
        prior[finding] = PriorEvidence(value, BY_HAND, passage, "by hand", who.by, who.reason)
        prior = {name: prior[name] for name in bank.findings if name in prior}
    before = {"finding": finding, "value": SIGNS[held.value if held else None]}
    after = {"finding": finding, "value": SIGNS[value]}
    return _step(bank, replace(concept, prior=prior), "prior", who, before, after)


def set_codes(bank: ConceptBank, codes: Mapping[str, Mapping[str, str]], who: Reviewer) -> ConceptBank:
    """Set identifiers of terminologies, by concept and terminology.

    Raises:
        OslerError: `unknown-concept`; `nothing-changed` where all are there already.
    """
    changed = False
    for concept_id, brought in codes.items():
        concept = bank.concept(concept_id)
        before = {system: concept.codes[system] for system in brought if system in concept.codes}
        fresh = replace(concept, codes=dict(sorted({**concept.codes, **brought}.items())))
        if fresh != concept:
            bank, changed = _step(bank, fresh, "codes", who, before, dict(brought)), True
    if not changed:
        raise _nothing("The bank has all of these codes already.")
    return bank


def with_figures(bank: ConceptBank, figures: Mapping[str, Mapping[str, Figure]]) -> ConceptBank:
    """Return the bank with figures by concept and name; they are measured again at will and enter no history."""
    return replace(
        bank,
        concepts=tuple(
            replace(one, figures={**one.figures, **figures[one.id]}) if one.id in figures else one
            for one in bank.concepts
        ),
    )


def unless_changed(seen: Concept, step: Callable[[ConceptBank], ConceptBank]) -> Callable[[ConceptBank], ConceptBank]:
    """Return a step that is refused where somebody else has changed the concept since the reviewer saw it.

    The step raises `bank-mismatch` then: nobody accepts words that he has not read. Figures may have been measured anew.
    """

    def checked(bank: ConceptBank) -> ConceptBank:
        if replace(bank.concept(seen.id), figures=seen.figures) != seen:
            raise OslerError(
                Code.BANK_MISMATCH,
                f"The concept {seen.id!r} was changed while you read it.",
                "Read it again, then decide.",
            )
        return step(bank)

    return checked


def notice(bank: ConceptBank) -> str:
    """Say in a sentence whether people have reviewed the bank."""
    used = [one for one in bank.concepts if one.status != "retired"]
    waiting = sum(one.status == "proposed" for one in used)
    if waiting:
        return f"Not clinically reviewed: nobody has accepted {waiting} of {len(used)} concepts."
    names = sorted({one.by for one in bank.history if one.action == "accepted"})
    return (
        f"All {len(used)} concepts in use are accepted, by {', '.join(names) or 'persons that the bank does not name'}."
    )


def _step(
    bank: ConceptBank,
    fresh: Concept,
    action: Action,
    who: Reviewer,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> ConceptBank:
    """Put a changed concept in its place; what a model can depend on makes the next version."""
    concepts = tuple(fresh if one.id == fresh.id else one for one in bank.concepts)
    version = bank.version + (fresh.content() != bank.concept(fresh.id).content())
    change = Change(version, moment(who.time), who.by, action, fresh.id, who.reason, before, after)
    return replace(bank, concepts=concepts, version=version, history=(*bank.history, change))


def _need_reason(who: Reviewer) -> None:
    if not who.reason.strip():
        raise OslerError(Code.USAGE, "The history needs a reason for this.", "Give one with --reason.")


def _nothing(message: str) -> OslerError:
    return OslerError(Code.NOTHING_CHANGED, message, "Nothing was written.")
