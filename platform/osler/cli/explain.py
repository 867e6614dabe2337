"""`osler explain`: why a study got its finding, or every study of a site."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.engine import add_engine, chosen_engine

if TYPE_CHECKING:
    from osler.explain.batch import Batch
    from osler.explain.explanation import Explanation
    from osler.explain.service import StudyExplainer

SUMMARY = "explain the finding of an archived study, or of every study of a site"
FORMATS = ("text", "json", "html", "sr")
WORKERS = "with --site, worker processes of one thread each (default: this one, or one for each core of a Ray cluster)"
_EPILOG = (
    "With --site, each study gets a file in --out, named by its pseudonymous UID; a second run goes on where the first "
    "stopped and makes anew what a new model, patch or calibration has changed. Exit code 3: some studies could not be "
    "explained; the summary says which."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler explain`."""
    parser.epilog = _EPILOG
    parser.add_argument("study", nargs="?", metavar="STUDY_UID", help="a study of `osler archive list`")
    parser.add_argument("--site", help="explain every study of this site instead; needs --out")
    parser.add_argument("--out", type=Path, metavar="PATH", help="file to write to; with --site, a folder")
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
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="`json` is the same as --json; `html` is one page to read or print; `sr` a DICOM structured report",
    )
    parser.add_argument("--top", type=int, default=10, help="concepts to list as text (default: 10)")
    add_engine(parser, WORKERS)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Explain one study, or a site."""
    from osler.explain.service import StudyExplainer
    from osler.workspace import Workspace
    from osler_knowledge.bank import ConceptBank

    _check(arguments)
    bank = ConceptBank.load(arguments.bank) if arguments.bank else None
    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model, bank)
    return _site(explainer, arguments) if arguments.site else _study(explainer, arguments)


def _check(arguments: argparse.Namespace) -> None:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if bool(arguments.study) == bool(arguments.site):
        raise OslerError(Code.USAGE, "Name either a study or a site.", "Give a STUDY_UID, or --site with --out.")
    if arguments.site and (arguments.out is None or arguments.format == "text"):
        raise OslerError(
            Code.USAGE, "A site is explained into files.", "Give --out FOLDER and --format json, html or sr."
        )
    if arguments.site and (arguments.patch or arguments.set):
        raise OslerError(Code.USAGE, "--patch and --set are for one study.", "Name the study.")
    if arguments.top < 1:
        raise OslerError(Code.USAGE, f"--top {arguments.top} is out of range.", "Give 1 or more.")
    if arguments.format == "sr" and arguments.out is None:
        raise OslerError(Code.USAGE, "A structured report is a file.", "Give --out FILE.")


def _study(explainer: StudyExplainer, arguments: argparse.Namespace) -> CommandResult:
    explanation = explainer.explain(
        arguments.study,
        patched=not arguments.no_patch,
        patch=explainer.patches.get(arguments.patch) if arguments.patch else None,
        corrections=dict(parse_correction(text) for text in arguments.set),
    )
    if arguments.out is not None:
        from osler.explain.forms import writer
        from osler.files import write_atomically

        form = "json" if arguments.format == "text" else arguments.format
        write_atomically(arguments.out, writer(form, explainer)(explanation))
        payload = {"study": explanation.study, "format": form, "file": str(arguments.out)}
        return CommandResult(payload, [f"wrote {arguments.out}"])
    arguments.json = arguments.json or arguments.format == "json"
    if arguments.format == "html":
        from osler.explain.forms import writer

        return CommandResult(explanation.to_dict(), [writer("html", explainer)(explanation).decode()])
    return CommandResult(explanation.to_dict(), lines_of(explanation, arguments.top))


def _site(explainer: StudyExplainer, arguments: argparse.Namespace) -> CommandResult:
    from osler.explain.batch import explain_site

    batch = explain_site(
        explainer,
        arguments.site,
        arguments.out,
        arguments.format,
        patched=not arguments.no_patch,
        engine=chosen_engine(arguments, workers=0),
        progress=say,
    )
    return CommandResult(batch.to_dict(), batch_lines(batch), refused=len(batch.refused))


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


def batch_lines(batch: Batch) -> list[str]:
    """Return what became of a site's studies as text."""
    counts: dict[str, Any] = batch.to_dict()
    lines = [f"{batch.site}: {batch.written} explained, {batch.kept} kept, {len(batch.refused)} not explained"]
    lines += [f"  {count:6d}  {name}" for name, count in counts["findings"].items()]
    if batch.abstained:
        lines.append(f"  {batch.abstained:6d}  without a single finding")
    lines += [f"  {count:6d}  bear the warning {code}" for code, count in counts["warnings"].items()]
    return lines + [f"  not explained: {uid} ({code})" for uid, code in sorted(batch.refused.items())[:20]]


def lines_of(explanation: Explanation, top: int) -> list[str]:
    """Return the explanation as text."""
    finding, other = explanation.finding, explanation.runner_up
    probability = finding.calibrated_probability
    calibrated = "uncalibrated" if probability is None else f"calibrated {probability:.3f}"
    beside = f", {explanation.residual:+.3f} past the concepts" if explanation.residual else ""
    lines = [
        f"{finding.id}: raw probability {finding.raw_probability:.3f}, {calibrated}, {finding.decision}",
        f"margin over {other.id}: {explanation.margin:+.3f}, of which {explanation.baseline:+.3f} without any concept{beside}",
    ]
    if explanation.prediction_set is not None:
        classes = " or ".join(explanation.prediction_set.classes) or "no class"
        lines.append(f"prediction set: {classes}. {explanation.prediction_set.sentence}")
    if explanation.abstains_because:
        lines.append(explanation.abstains_because)
    lines += [f"warning: {one.message} [{one.code}]" for one in explanation.warnings if one.code != "abstains"]
    for one in explanation.concepts[:top]:
        note = "" if one.state == "as scored" else f" [{one.state}]"
        conflict = " [against the text]" if one.conflict else ""
        lines.append(f"  {one.contribution:+.3f}  {one.name}: {one.seen} ({_found(one.probability)}){note}{conflict}")
        lines.append(f'          "{one.citation.passage}" ({one.citation.title})')
    if explanation.concepts:
        lines.append(f"passages: {explanation.concepts[0].citation.heading}")
    if explanation.would_change is not None:
        lines += [explanation.would_change.sentence, explanation.would_change.notice]
    if explanation.similar and explanation.similar_among is not None:
        lines.append(f"similar studies: {explanation.similar_among.sentence}")
    for like in explanation.similar:
        known = like.label or "no label"
        lines.append(f"similar: {like.study} of {like.site}, model {like.finding}, {known}, {like.review}")
    if explanation.patch is not None:
        held = explanation.patch
        lines.append(
            f"patch {held.id}: without it {held.finding_without.id}; margin {held.margin_with:+.3f} with it, "
            f"{held.margin_without:+.3f} without"
        )
    if explanation.finding_uncorrected is not None:
        lines.append(f"without the corrections: {explanation.finding_uncorrected.id}")
    return [*lines, explanation.notice]


def _found(probability: float | None) -> str:
    return "no probability" if probability is None else f"p={probability:.2f}"
