"""`osler knowledge report`: the quality of a bank before it is used, as one page that needs no network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, say
from osler.cli.knowledge.common import add_action, load_lexicon
from osler.cli.knowledge.review import opened

if TYPE_CHECKING:
    from osler.quality.measure import Quality
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.lexicon import Lexicon


def declare(actions: Any) -> None:
    """Declare the action."""
    report = add_action(
        actions, "report", "write the quality of the bank as a page, with figures from the archive", _report
    )
    report.add_argument("--bank", type=Path, metavar="FILE", help="a bank's file (default: the workspace's)")
    report.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="where to write the page")
    report.add_argument("--text-only", action="store_true", help="do not look at the archive's images")
    report.add_argument("--model", metavar="NAME", help="the model whose encoder sees the images (default: the first)")
    report.add_argument(
        "--site", action="append", default=[], metavar="NAME", help="a site with reports; twice to compare two"
    )


def _report(arguments: argparse.Namespace) -> CommandResult:
    from osler.files import write_atomically
    from osler.quality.page import page
    from osler_contracts.errors import from_os_error
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.history import now
    from osler_knowledge.review import with_figures

    bank = ConceptBank.load(arguments.bank) if arguments.bank else opened(arguments).load()
    quality = _quality(arguments, bank)
    figures = quality.figures()
    if figures and not arguments.bank:
        bank = opened(arguments).measured(lambda held: with_figures(held, figures))
    else:
        bank = with_figures(bank, figures)
    try:
        write_atomically(arguments.out, page(bank, quality, now()).encode())
    except OSError as error:
        raise from_os_error(error) from None
    return CommandResult(_payload(arguments.out, bank, quality), _lines(arguments.out, bank, quality))


def _quality(arguments: argparse.Namespace, bank: ConceptBank) -> Quality:
    from osler.archive import Archive
    from osler.explain.service import StudyExplainer, model_names
    from osler.quality.measure import Quality, measure
    from osler.workspace import MARKER, Workspace
    from osler_knowledge.quality import text_quality

    if arguments.text_only or not (arguments.workspace / MARKER).is_file():
        return Quality(text_quality(bank.in_use()), None, ("Only the text was looked at.",))
    workspace = Workspace.open(arguments.workspace)
    names = [arguments.model] if arguments.model else model_names(workspace)
    explainer = StudyExplainer(workspace, names[0]) if names else None
    return measure(Archive(workspace), explainer, bank, arguments.site, lexicon=_lexicon(arguments, bank), progress=say)


def _lexicon(arguments: argparse.Namespace, bank: ConceptBank) -> Lexicon | None:
    """Return the words for the bank's findings, None where the task's lexicon does not have them all."""
    from osler_contracts.errors import OslerError

    try:
        lexicon = load_lexicon(arguments)
    except OslerError:
        return None  # a task without words: findings are read from the table of labels alone
    return lexicon if lexicon.finding_ids == bank.findings else None


def _payload(out: Path, bank: ConceptBank, quality: Quality) -> dict[str, Any]:
    from dataclasses import asdict

    text = asdict(quality.text)
    text.pop("figures")
    return {
        "page": str(out),
        "bank": bank.name,
        "version": bank.version,
        "text": text | {"findings_covered": quality.text.findings_covered},
        "concepts": {one.id: {name: asdict(figure) for name, figure in one.figures.items()} for one in bank.concepts},
        "harder": {one: list(by) for one, by in quality.measured.harder.items() if by} if quality.measured else None,
        "missing": list(quality.missing),
    }


def _lines(out: Path, bank: ConceptBank, quality: Quality) -> list[str]:
    from osler_knowledge.quality import CONCEPTS_A_FINDING, MOST_SHOWN
    from osler_knowledge.review import notice

    text = quality.text
    lines = [
        f"{text.concepts} concepts in use, of which a study's page shows at most {MOST_SHOWN}",
        f"findings with {CONCEPTS_A_FINDING} concepts or more: {text.findings_covered:.0%}; diversity {text.diversity:.2f}",
    ]
    if text.covered:
        lines.append(f"{text.covered.value:.0%} of {text.reports} reports mention a concept of the bank")
    if quality.measured:
        hard = sum(bool(by) for by in quality.measured.harder.values())
        lines.append(f"{hard} concepts are harder to learn than a finding that they speak for")
    return [*lines, *quality.missing, notice(bank), f"The page: {out}"]
