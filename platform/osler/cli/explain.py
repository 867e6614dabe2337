"""`osler explain`: why a study got its finding."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.explain.explanation import Explanation

SUMMARY = "explain the finding of one archived study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler explain`."""
    parser.add_argument("study", metavar="STUDY_UID", help="a study of `osler archive list`")
    parser.add_argument("--model", required=True, metavar="NAME", help="a model of the workspace")
    parser.add_argument(
        "--bank",
        type=Path,
        metavar="FILE",
        help="explain with this bank; refused where the model was fitted on another",
    )
    parser.add_argument("--patch", metavar="ID", help="try this patch instead of the one in force at the study's site")
    parser.add_argument("--no-patch", action="store_true", help="leave the patch in force aside")
    parser.add_argument(
        "--set", action="append", default=[], metavar="CONCEPT=0|1", help="correct a concept; may be repeated"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="`json` is the same as --json")
    parser.add_argument("--top", type=int, default=10, help="concepts to list as text (default: 10)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Explain one study."""
    from osler.explain.service import StudyExplainer
    from osler.workspace import Workspace
    from osler_knowledge.bank import ConceptBank

    bank = ConceptBank.load(arguments.bank) if arguments.bank else None
    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model, bank)
    explanation = explainer.explain(
        arguments.study,
        patched=not arguments.no_patch,
        patch=explainer.patches.get(arguments.patch) if arguments.patch else None,
        corrections=dict(parse_correction(text) for text in arguments.set),
    )
    arguments.json = arguments.json or arguments.format == "json"
    return CommandResult(explanation.to_dict(), lines_of(explanation, arguments.top))


def parse_correction(text: str) -> tuple[str, float]:
    """Read `concept=value`.

    Raises:
        OslerError: `usage`.
    """
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    concept, _, value = text.partition("=")
    try:
        return concept, float(value)
    except ValueError:
        raise OslerError(Code.USAGE, f"{text!r} is no correction.", "Write --set concept=0 or concept=1.") from None


def lines_of(explanation: Explanation, top: int) -> list[str]:
    """Return the explanation as text."""
    finding, other = explanation.finding, explanation.runner_up
    probability = finding.calibrated_probability
    calibrated = "uncalibrated" if probability is None else f"calibrated {probability:.3f}"
    lines = [
        f"{finding.id}: raw probability {finding.raw_probability:.3f}, {calibrated}, {finding.decision}",
        f"margin over {other.id}: {explanation.margin:+.3f}, of which {explanation.baseline:+.3f} without any concept",
    ]
    if explanation.prediction_set is not None:
        classes = " or ".join(explanation.prediction_set.classes) or "no class"
        lines.append(f"prediction set: {classes}. {explanation.prediction_set.sentence}")
    if explanation.abstains_because:
        lines.append(explanation.abstains_because)
    lines += [f"warning: {warning}" for warning in explanation.warnings]
    for one in explanation.concepts[:top]:
        note = "" if one.state == "as scored" else f" [{one.state}]"
        conflict = " [against the text]" if one.conflict else ""
        lines.append(f"  {one.contribution:+.3f}  {one.name} ({_found(one.probability)}){note}{conflict}")
        lines.append(f'          "{one.citation.passage}" ({one.citation.title})')
    if explanation.concepts:
        lines.append(f"passages: {explanation.concepts[0].citation.heading}")
    if explanation.patch is not None:
        lines.append(f"patch {explanation.patch.id}: without it {explanation.patch.finding_without.id}")
    if explanation.finding_uncorrected is not None:
        lines.append(f"without the corrections: {explanation.finding_uncorrected.id}")
    return [*lines, explanation.notice]


def _found(probability: float | None) -> str:
    return "no probability" if probability is None else f"p={probability:.2f}"
