"""`osler knowledge review`: the concepts that wait, one after another, with everything that a decision needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult
from osler.cli.knowledge.common import add_action, load
from osler.cli.knowledge.review import last_step, opened, payload_of

if TYPE_CHECKING:
    from osler.banks import BankStore, Step
    from osler.passages import PassageFinder
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.concept import Concept

MENU = "[a]ccept  [r]etire  re[w]ord  [p]rior  [s]kip  [q]uit"


def declare(actions: Any) -> None:
    """Declare the action."""
    review = add_action(actions, "review", "decide on the proposed concepts, one after another", _review)
    review.add_argument(
        "--by", "--actor", dest="by", metavar="NAME", help="who decides (asked for where it is not given)"
    )
    review.add_argument("--all", action="store_true", help="show accepted and retired concepts too")


def _review(arguments: argparse.Namespace) -> CommandResult:
    from osler.passages import PassageFinder

    store = opened(arguments)
    bank = store.load()
    waiting = [one.id for one in bank.concepts if arguments.all or one.status == "proposed"]
    if arguments.json or not sys.stdin.isatty():
        return _queue(bank, waiting)
    finder = PassageFinder(store, load(arguments) if arguments.corpus else None)
    by = arguments.by or input("Your name, for the history: ")
    done = Interview(store, finder, by.strip(), input, print).hold(waiting)
    bank = store.load()
    return CommandResult(payload_of(bank) | {"steps": done}, [f"{done} steps, each saved.", *_notice(bank)])


def _queue(bank: ConceptBank, waiting: list[str]) -> CommandResult:
    """Answer with what waits, where nobody sits at a terminal."""
    lines = [f"{one}: {bank.concept(one).question}" for one in waiting]
    hint = "Decide at a terminal, or with `osler knowledge accept | retire | reword | prior`."
    return CommandResult(payload_of(bank) | {"waiting": waiting}, [*lines, *_notice(bank), hint])


def _notice(bank: ConceptBank) -> list[str]:
    from osler_knowledge.review import notice

    return [notice(bank)]


@dataclass
class Interview:
    """A reviewer at a terminal; every step is on disk before the next question.

    Attributes:
        store: The bank.
        finder: Finds the text that the passages stand in.
        by: The reviewer.
        ask: Puts a question and returns the answer; raises EOFError where there is no more.
        show: Shows a line.
    """

    store: BankStore
    finder: PassageFinder
    by: str
    ask: Callable[[str], str]
    show: Callable[[str], None]

    def hold(self, waiting: list[str]) -> int:
        """Go through the concepts; return how many steps were saved."""
        steps = 0
        for number, concept_id in enumerate(waiting, 1):
            while True:
                concept = self.store.load().concept(concept_id)
                self.show(f"\n{number} of {len(waiting)}")
                for line in card(concept, self.store.load().findings, self.finder):
                    self.show(line[: len(line) - len(line.lstrip())] + printable(line))
                answer = self._ask(f"{MENU}: ").lower()
                if answer == "q":
                    return steps
                saved = self._act(answer, concept)
                steps += saved
                if answer == "s" or (saved and answer in ("a", "r")):
                    break
        return steps

    def _ask(self, question: str) -> str:
        try:
            return self.ask(question).strip()
        except EOFError:
            return "q"

    def _act(self, answer: str, concept: Concept) -> bool:
        """Take the step that was asked for; what cannot be done is told, and the concept is shown again."""
        from osler_contracts.errors import OslerError

        acts = {"a": self._accept, "r": self._retire, "w": self._reword, "p": self._prior}
        if answer == "s":
            return False
        if answer not in acts:
            self.show("That is none of the letters.")
            return False
        try:
            return acts[answer](concept)
        except OslerError as error:
            self.show(f"{error.message} {error.mend}")
            return False

    def _save(self, step: Callable[[Any], Step], action: str, concept: Concept, reason: str) -> bool:
        from osler_knowledge.history import now
        from osler_knowledge.review import Reviewer, unless_changed

        who = Reviewer(self.by, now(), reason)
        self.show(last_step(self.store.change(unless_changed(concept, step(who)), who, action, concept.id)))
        return True

    def _accept(self, concept: Concept) -> bool:
        from osler_knowledge.review import accept

        return self._save(lambda who: lambda bank: accept(bank, concept.id, who), "accept", concept, "")

    def _retire(self, concept: Concept) -> bool:
        from osler_knowledge.review import retire

        reason = self._ask("Why? ")
        return self._save(lambda who: lambda bank: retire(bank, concept.id, who), "retire", concept, reason)

    def _reword(self, concept: Concept) -> bool:
        from osler_knowledge.review import reword

        question = self._ask("The new question (empty leaves it): ") or None
        name = self._ask("The new name (empty leaves it): ") or None
        reason = self._ask("Why? ")
        return self._save(
            lambda who: lambda bank: reword(bank, concept.id, who, question=question, name=name),
            "reword",
            concept,
            reason,
        )

    def _prior(self, concept: Concept) -> bool:
        from osler_knowledge.review import VALUES, set_prior

        finding = self._ask(f"For which finding ({', '.join(self.store.load().findings)})? ")
        word = self._ask(f"What does it say ({', '.join(str(one) for one in VALUES)})? ")
        if word not in VALUES:
            self.show("That is none of the words.")
            return False
        reason = self._ask("Why? ")
        return self._save(
            lambda who: lambda bank: set_prior(bank, concept.id, finding, VALUES[word], who), "prior", concept, reason
        )


def printable(text: str) -> str:
    """Return a text on one line: a bank from elsewhere must not steer the terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def card(concept: Concept, findings: tuple[str, ...], finder: PassageFinder) -> Iterator[str]:
    """Yield the lines that show a concept to its reviewer: question, passage in its place, prior, learnability."""
    from osler_knowledge.review import SIGNS

    place = finder.place(concept.citation)
    yield f"{concept.name} [{concept.id}; {concept.status}; {concept.region}]"
    yield f"  {concept.question}"
    yield f"  {concept.citation.title} ({concept.citation.entry})" + (
        "" if place.reviewed else ", not clinically reviewed"
    )
    yield f"    {place.before} >>{place.passage}<< {place.after}"
    if not place.found:
        yield "    No text at hand has this passage."
    for reference in concept.citation.references:
        yield f"    {reference}"
    for finding in findings:
        evidence = concept.prior.get(finding)
        if evidence is None:
            yield f"  {SIGNS[None]:>8} {finding}"
            continue
        why = evidence.citation.passage if evidence.citation else evidence.reason
        yield f"  {SIGNS[evidence.value]:>8} {finding} ({evidence.confidence:.2f}, {evidence.evidence}): {why}"
    for name, figure in sorted(concept.figures.items()):
        between = "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} to {figure.high:.2f})"
        yield f"  {name.replace('_', ' ')}: {figure.value:.2f}{between}, n = {figure.n}"
    if not concept.figures:
        yield "  learnability: not measured (osler knowledge report measures it)"
