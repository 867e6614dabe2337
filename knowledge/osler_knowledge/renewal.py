"""A bank proposed again, or brought from elsewhere, joined with the one that people have worked on."""

from __future__ import annotations

from dataclasses import replace

from osler_knowledge.bank import ConceptBank
from osler_knowledge.check import require_line_of_descent
from osler_knowledge.concept import Concept
from osler_knowledge.history import Action, Change, moment
from osler_knowledge.review import Reviewer

NO_LONGER = "The text no longer proposes it."


def first_proposed(bank: ConceptBank, who: Reviewer) -> ConceptBank:
    """Return a new bank with the step that made it as the beginning of its history."""
    if bank.history:
        return bank
    return replace(bank, history=(Change(bank.version, moment(who.time), who.by, "proposed", "", who.reason),))


def renewed(old: ConceptBank, fresh: ConceptBank, who: Reviewer) -> ConceptBank:
    """Join a bank proposed anew with the one that is there.

    What a person has decided on stays as it is. Of the rest, concepts are added, replaced by what the text now says, or
    retired where the text no longer proposes them. Where nothing changes the old bank is returned.
    """
    touched = {
        one.concept for one in old.history if one.concept and one.reason != NO_LONGER and one.action != "proposed"
    }
    held = {one.id: one for one in old.concepts}
    concepts: list[Concept] = []
    steps: list[tuple[Action, str, str, dict[str, str]]] = []
    for one in fresh.concepts:
        before = held.pop(one.id, None)
        if before is None:
            concepts.append(one)
            steps.append(("proposed", one.id, who.reason, {}))
        elif before.id in touched or before.content() == one.content():
            concepts.append(before)
        else:
            concepts.append(replace(one, codes=before.codes, figures=before.figures))
            passage = {"question": before.question, "status": before.status}
            steps.append(("proposed", one.id, who.reason, passage))
    for one in held.values():
        gone = one.id not in touched and one.status != "retired"
        concepts.append(replace(one, status="retired") if gone else one)
        steps += [("retired", one.id, NO_LONGER, {"status": one.status})] if gone else []
    extra = {finding for one in concepts for finding in one.prior} - set(fresh.findings)
    findings = (*fresh.findings, *(one for one in old.findings if one in extra))
    if not steps and findings == old.findings:
        return old
    version, when = old.version + 1, moment(who.time)
    told = steps or [("proposed", "", who.reason, {})]
    changes = tuple(Change(version, when, who.by, action, name, why, before) for action, name, why, before in told)
    return replace(
        fresh, version=version, findings=findings, concepts=tuple(concepts), history=(*old.history, *changes)
    )


def imported(old: ConceptBank | None, brought: ConceptBank) -> ConceptBank:
    """Return a bank brought from elsewhere, where it may follow the one that is there.

    Raises:
        OslerError: `bank-mismatch` where it is older, or lacks steps that the bank at hand has: they would be lost.
    """
    if old is not None:
        require_line_of_descent(old, brought)
    return brought
