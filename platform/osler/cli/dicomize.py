"""`osler dicomize`: a table of PNG and JPEG images into DICOM files."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, say

SUMMARY = "wrap PNG and JPEG images and their table into valid DICOM"
KINDS = ("radiograph", "dermoscopy", "microscopy")
SAY_EVERY = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler dicomize`."""
    parser.add_argument("table", type=Path, help="CSV table, one row an image")
    parser.add_argument("folder", type=Path, help="where to write dicom/ and labels.csv")
    parser.add_argument("--kind", required=True, choices=KINDS, help="what the images are")
    parser.add_argument("--site", required=True, help="name of the site that the images come from")
    parser.add_argument("--body-part", default="", help="Body Part Examined of all images, such as CHEST")
    parser.add_argument(
        "--orientation",
        nargs=2,
        default=(),
        metavar=("ROW", "COLUMN"),
        help="Patient Orientation of all images; L F says that radiographs are frontal where no view is given",
    )
    for name, default in (
        ("image", "image"),
        ("patient", "patient_id"),
        ("view", "view"),
        ("sex", "sex"),
        ("age", "age"),
    ):
        parser.add_argument(f"--{name}-column", default=default, help=f"column of the {name} (default: {default})")
    parser.add_argument("--report-column", help="column whose text is handed on as the report (default: none)")
    parser.add_argument(
        "--label-column", action="append", help="column to hand on as a label; repeat (default: the rest)"
    )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Convert the table, with progress on stderr."""
    from osler.dicomize import Columns, dicomize

    def progress(done: int, total: int) -> None:
        if done == total or done % SAY_EVERY == 0:
            say(f"{done} of {total} rows")

    columns = Columns(
        image=arguments.image_column,
        patient=arguments.patient_column,
        view=arguments.view_column,
        sex=arguments.sex_column,
        age=arguments.age_column,
        report=arguments.report_column,
        labels=None if arguments.label_column is None else tuple(arguments.label_column),
    )
    summary = dicomize(
        arguments.table,
        arguments.folder,
        kind=arguments.kind,
        site=arguments.site,
        columns=columns,
        body_part=arguments.body_part,
        orientation=arguments.orientation,
        progress=progress,
    )
    return CommandResult(summary.to_dict(), summary.lines(), len(summary.refused))
