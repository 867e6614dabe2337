"""`osler knowledge accept | retire | reword | prior | codes`: one step of review each, from a script or by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult
from osler.cli.knowledge.common import add_action

if TYPE_CHECKING:
    from osler.banks import BankStore, Step
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.review import Reviewer

WORDS = ("for", "against", "neither", "unknown")


def declare(actions: Any) -> None:
    """Declare the actions."""
    accepting = add_action(actions, "accept", "accept a concept, or take a retired one back", _accept)
    retiring = add_action(actions, "retire", "retire a concept: it stays in the bank, and no model uses it", _retire)
    rewording = add_action(actions, "reword", "give a concept another question or name, under a new version", _reword)
    setting = add_action(actions, "prior", "set by hand what a concept says of a finding", _prior)
    coding = add_action(actions, "codes", "give concepts codes of terminologies that you bring", _codes)
    for action in (accepting, retiring, rewording, setting):
        action.add_argument("concept", metavar="CONCEPT", help="identifier of the concept")
    rewording.add_argument("--question", metavar="TEXT", help="the new question")
    rewording.add_argument("--name", metavar="TEXT", help="the new name")
    setting.add_argument("finding", metavar="FINDING", help="a finding of the bank")
    setting.add_argument(
        "value", choices=WORDS, help="unknown leaves it to the data; neither says that it tells nothing"
    )
    coding.add_argument(
        "--csv", type=Path, required=True, metavar="FILE", help="table with the columns concept, system and code"
    )
    for action in (accepting, coding):
        add_reviewer(action, reason=False)
    for action in (retiring, rewording, setting):
        add_reviewer(action, reason=True)


def add_reviewer(parser: argparse.ArgumentParser, *, reason: bool) -> None:
    """Ask for who decides and why."""
    parser.add_argument(
        "--by", "--actor", dest="by", required=True, metavar="NAME", help="who decides, for the history"
    )
    parser.add_argument("--reason", required=reason, default="", metavar="TEXT", help="why")


def reviewer(arguments: argparse.Namespace) -> Reviewer:
    """Return who decides, now."""
    from osler_knowledge.history import now
    from osler_knowledge.review import Reviewer

    return Reviewer(arguments.by.strip(), now(), arguments.reason.strip())


def opened(arguments: argparse.Namespace) -> BankStore:
    """Return the bank of the task in the workspace.

    Raises:
        OslerError: `workspace-invalid`.
    """
    from osler.banks import BankStore
    from osler.workspace import Workspace

    return BankStore(Workspace.open(arguments.workspace), arguments.task)


def _accept(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.review import accept

    who = reviewer(arguments)
    return _taken(arguments, lambda bank: accept(bank, arguments.concept, who), who, "accept")


def _retire(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.review import retire

    who = reviewer(arguments)
    return _taken(arguments, lambda bank: retire(bank, arguments.concept, who), who, "retire")


def _reword(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.review import reword

    who = reviewer(arguments)
    words = {"question": arguments.question, "name": arguments.name}
    return _taken(arguments, lambda bank: reword(bank, arguments.concept, who, **words), who, "reword")


def _prior(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.review import VALUES, set_prior

    who, value = reviewer(arguments), VALUES[arguments.value]
    return _taken(
        arguments, lambda bank: set_prior(bank, arguments.concept, arguments.finding, value, who), who, "prior"
    )


def _codes(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.codes import read_codes
    from osler_knowledge.review import set_codes

    who, codes = reviewer(arguments), read_codes(arguments.csv)
    bank = opened(arguments).change(lambda held: set_codes(held, codes, who), who, "codes")
    return CommandResult(payload_of(bank), [f"{len(codes)} concepts have these codes. This is version {bank.version}."])


def _taken(arguments: argparse.Namespace, step: Step, who: Reviewer, action: str) -> CommandResult:
    bank = opened(arguments).change(step, who, action, arguments.concept)
    return CommandResult(payload_of(bank), [last_step(bank)])


def payload_of(bank: ConceptBank) -> dict[str, Any]:
    """Return what a step of review answers as JSON."""
    from osler_knowledge.review import notice

    counts = {status: sum(one.status == status for one in bank.concepts) for status in _STATUSES}
    return {"bank": bank.name, "version": bank.version, "digest": bank.digest, **counts, "notice": notice(bank)}


_STATUSES = ("proposed", "accepted", "retired")


def last_step(bank: ConceptBank) -> str:
    """Say the last step of a bank's history and the version that it led to."""
    from osler_knowledge.diff import told

    return f"{told(bank.history[-1])} This is version {bank.version}."
