"""What changed between two banks, in words."""

from __future__ import annotations

from collections.abc import Iterator

from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Concept
from osler_knowledge.history import Change
from osler_knowledge.review import SIGNS


def differences(old: ConceptBank, new: ConceptBank) -> list[str]:
    """Return a sentence for each difference between two banks, in the order of the new one.

    A concept that only one of them has counts as added or gone; where nothing differs the list is empty.
    """
    found = []
    if old.findings != new.findings:
        found.append(f"The findings were {', '.join(old.findings)} and are {', '.join(new.findings)}.")
    before = {one.id: one for one in old.concepts}
    for concept in new.concepts:
        if concept.id in before:
            found += _of(before[concept.id], concept, old.findings)
        else:
            found.append(f"{concept.id} was added: {concept.question}")
    after = set(new.ids)
    return found + [f"{one} is gone." for one in before if one not in after]


def _of(old: Concept, new: Concept, findings: tuple[str, ...]) -> Iterator[str]:
    if old.status != new.status:
        yield f"{new.id} was {old.status} and is {new.status}."
    for what in ("question", "name", "region"):
        if getattr(old, what) != getattr(new, what):
            yield f"{new.id}: the {what} was {getattr(old, what)!r} and is {getattr(new, what)!r}."
    for finding in (*findings, *(one for one in new.prior if one not in findings)):
        values = [one.prior[finding].value if finding in one.prior else None for one in (old, new)]
        if values[0] != values[1]:
            yield f"{new.id}: its prior for {finding} was {SIGNS[values[0]]} and is {SIGNS[values[1]]}."
        elif old.prior.get(finding) != new.prior.get(finding):
            yield f"{new.id}: its prior for {finding} rests on other evidence."
    if (old.terms, old.absent_terms) != (new.terms, new.absent_terms):
        yield f"{new.id}: the phrases that report it are others."
    if old.citation != new.citation:
        yield f"{new.id}: its passage is another, now of the entry {new.citation.entry!r}."
    for system in sorted({*old.codes, *new.codes}):
        if old.codes.get(system) != new.codes.get(system):
            codes = [one.codes.get(system, "none") for one in (old, new)]
            yield f"{new.id}: its code in {system} was {codes[0]} and is {codes[1]}."


def in_short(found: list[str], most: int = 3) -> str:
    """Return the first differences as one text, and how many more there are."""
    more = f" And {len(found) - most} more." if len(found) > most else ""
    return " ".join(found[:most]) + more


def told(change: Change) -> str:
    """Say one step of a history as a sentence, without who and when."""
    name = change.concept or "The bank"
    why = f" ({change.reason})" if change.reason else ""
    if change.action == "prior":
        finding, value = change.after.get("finding", "a finding"), change.after.get("value", "changed")
        return f"{name}: the prior for {finding} was {change.before.get('value', 'another')} and is {value}{why}."
    if change.action == "reworded":
        words = "; ".join(f"{change.before.get(one, '')!r} became {text!r}" for one, text in change.after.items())
        return f"{name} was reworded: {words}{why}."
    if change.action == "codes":
        codes = ", ".join(f"{system} {code}" for system, code in change.after.items())
        return f"{name} was given codes: {codes}{why}."
    again = " again" if change.action == "proposed" and change.before else ""
    return f"{name} was {change.action}{again}{why}."
