"""`osler feedback`: what readers said of studies, as labels, and how far they agree."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.feedback.agreement import Agreement
    from osler.feedback.figures import Figure

SUMMARY = "list what readers said of studies, export it as labels, or measure how far they agree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler feedback`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the studies that were reviewed, and where each stands")
    listing.add_argument("--state", choices=("in review", "signed", "amended"), help="only studies that stand so")
    exporting = actions.add_parser("export", help="write signed studies as labels")
    exporting.add_argument(
        "--format", choices=("csv",), default="csv", help="tables that `dataset: any_csv` of a recipe reads (default)"
    )
    exporting.add_argument("--out", type=Path, required=True, metavar="FILE", help="the table of images and findings")
    exporting.add_argument("--author", metavar="NAME", help="who exports, for the audit log (default: your account)")
    agreeing = actions.add_parser("agreement", help="measure how far readers agree with each other and with the model")
    agreeing.add_argument("--seed", type=int, default=0, help="seed of the intervals (default: 0)")
    agreeing.add_argument(
        "--replicates", type=int, default=1000, metavar="N", help="draws of patients for the intervals (default: 1000)"
    )
    for action in (listing, exporting, agreeing):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    return {"list": _list, "export": _export, "agreement": _agreement}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> CommandResult:
    from osler.feedback import reviews_by_study
    from osler.workspace import Workspace

    held = reviews_by_study(Workspace.open(arguments.workspace))
    chosen = {study: one for study, one in held.items() if arguments.state in (None, str(one.state))}
    rows: list[dict[str, Any]] = [
        {
            "study": study,
            "state": str(one.state),
            "finding": one.result.concluded if one.result else None,
            "reviews": len(one.counted),
            "waiting": len(one.waiting),
            "readers": sorted({review.reviewer for review in (*one.counted, *one.waiting)}),
        }
        for study, one in chosen.items()
    ]
    lines = [
        f"{row['study']}  {row['state']}  {row['finding'] or ''}  by {', '.join(row['readers'])}"
        + (f"  ({row['waiting']} wait for their reader's word)" if row["waiting"] else "")
        for row in rows
    ]
    return CommandResult({"studies": rows}, lines or ["Nothing was reviewed yet."])


def _export(arguments: argparse.Namespace) -> CommandResult:
    from osler import audit
    from osler.cli.people import account
    from osler.feedback import read_reviews
    from osler.feedback.labels import export_labels
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    made = export_labels(workspace, arguments.out, read_reviews(workspace))
    counts = {"studies": str(made.studies), "concepts": str(made.concepts)}
    audit.record(
        workspace,
        actor=arguments.author or account(),
        action="feedback.export",
        subject=arguments.out.name,
        details=counts,
    )
    payload = asdict(made) | {"paths": [str(path) for path in made.paths]}
    lines = [
        f"{made.studies} signed studies and {made.concepts} concepts: {', '.join(map(str, made.paths))}",
        f"In {made.own} the reader named a finding or changed a concept; the others accepted the model's finding.",
        "Fit on these labels, and measure on others.",
    ]
    if made.left_out:
        lines.append(f"{made.left_out} signed studies are left out: the archive has no image of them.")
    return CommandResult(payload, lines)


def _agreement(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.feedback import read_reviews
    from osler.feedback.agreement import agreement
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not 1 <= arguments.replicates <= 100_000:
        raise OslerError(Code.USAGE, f"--replicates {arguments.replicates} is out of range.", "Give 1 to 100000.")
    workspace = Workspace.open(arguments.workspace)
    patients = {study.uid: study.patient for study in Archive(workspace).studies()}
    found = agreement(read_reviews(workspace), patients, seed=arguments.seed, replicates=arguments.replicates)
    lines = [_told(one) for one in found] or ["Nobody has signed a study yet, so there is nothing to compare."]
    if found:
        lines.append("Readers saw the model before they answered: this tells how it is taken, not how good it is.")
    return CommandResult({"agreement": [asdict(one) for one in found]}, lines)


def _told(one: Agreement) -> str:
    doubted = f", doubted in {100 * one.doubted:.0f}%" if one.doubted else ""
    return (
        f"{one.of.replace('_', ' ')}: {' and '.join(one.between)}, {one.studies} studies: {one.measure} "
        f"{_figure(one.chance_corrected)}, same {_figure(one.same)}{doubted}"
    )


def _figure(one: Figure) -> str:
    if one.value is None:
        return "not defined (everybody always gave one same answer)"
    interval = "" if one.low is None or one.high is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.value:.2f}{interval}"
