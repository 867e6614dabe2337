"""`osler phantom`: a hospital that does not exist, as DICOM files with reports and truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, say

SUMMARY = "make a phantom hospital: DICOM chest radiographs with reports and known truth"
SAY_EVERY = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "outdir", type=Path, metavar="OUTDIR", help="new folder for the files; OUTDIR.labels.csv, .truth.csv lie beside"
    )
    parser.add_argument("--site", required=True, help="hospital_a, hospital_b, hospital_c or reference")
    parser.add_argument("--studies", type=int, required=True, metavar="N", help="number of studies")
    parser.add_argument("--seed", type=int, required=True, metavar="S", help="the same seed gives the same bytes")
    parser.add_argument("--size", type=int, default=512, help="rows and columns (default: 512)")
    parser.add_argument(
        "--classes", default="heart_failure,pneumonia", help="diagnoses (default: heart_failure,pneumonia)"
    )
    parser.add_argument("--nuisance", help="a nuisance's name, or held_out to draw one by the seed")
    parser.add_argument(
        "--confounding", type=float, default=0.0, metavar="X", help="0 to 1: how far it goes with the first class"
    )
    parser.add_argument("--reversed", action="store_true", help="let it go with the other classes instead")
    parser.add_argument("--spoil", type=float, default=0.0, metavar="SHARE", help="spoiled files for each sound one")
    parser.add_argument("--workers", type=int, default=2, help="worker processes, 0 for none (default: 2)")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="write a picture of the first films")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Make the files."""
    from osler_training.phantom.contact_sheet import contact_sheet_of
    from osler_training.phantom.generate import generate_site
    from osler_training.phantom.nuisance import held_out, nuisance_named
    from osler_training.phantom.parameters import parameters_digest
    from osler_training.phantom.plan import confounded_plan, mixed_plan

    classes = tuple(name.strip() for name in arguments.classes.split(",") if name.strip())
    nuisance = arguments.nuisance and (
        held_out(arguments.seed) if arguments.nuisance == "held_out" else nuisance_named(arguments.nuisance)
    )
    plans = (
        confounded_plan(
            arguments.studies,
            classes,
            nuisance.name,
            arguments.confounding,
            reversed=arguments.reversed,
            seed=arguments.seed,
        )
        if nuisance
        else mixed_plan(arguments.studies, classes, arguments.seed)
    )
    made = generate_site(
        arguments.site,
        plans,
        arguments.outdir,
        size=arguments.size,
        workers=max(arguments.workers, 0),
        spoil=arguments.spoil,
        seed=arguments.seed,
        progress=_progress,
    )
    if arguments.contact_sheet:
        contact_sheet_of(made.folder, made.truth, arguments.contact_sheet)
    payload = {
        "phantom": True,
        "folder": str(made.folder),
        "labels": str(made.labels),
        "truth": str(made.truth),
        "studies": made.studies,
        "files": made.files,
        "spoiled": made.spoiled,
        "nuisance": nuisance.name if nuisance else None,
        "parameters_digest": parameters_digest(),
    }
    lines = [
        f"Wrote {made.files} phantom files of {made.studies} studies to {made.folder}, {made.spoiled} of them spoiled.",
        f"Reports and labels are in {made.labels}, the truth in {made.truth}.",
        f"Next: osler ingest {made.folder} --site {arguments.site} --labels {made.labels}",
    ]
    return CommandResult(payload, lines)


def _progress(done: int, total: int) -> None:
    if done == total or done % SAY_EVERY == 0:
        say(f"{done} of {total} studies")
