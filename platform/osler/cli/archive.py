"""`osler archive`: what the archive holds, by pseudonym."""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "list the studies of the archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler archive`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list studies")
    listing.add_argument("--site", help="only those of this site")
    add_workspace(listing)


def run(arguments: argparse.Namespace) -> CommandResult:
    """List the studies."""
    from osler.archive import Archive
    from osler.workspace import Workspace

    archive = Archive(Workspace.open(arguments.workspace))
    studies = []
    for study in archive.studies(arguments.site):
        frontal = archive.frontal(study)
        row: dict[str, object] = {
            "uid": study.uid,
            "site": study.site,
            "patient": study.patient,
            "study_date": study.study_date,
        }
        studies.append(row | {"images": len(study.instances), "frontal": frontal and frontal.uid})
    lines = [
        f"{study['uid']:44s}  {study['site']}  {study['patient']}  {study['images']} images"
        f"{'' if study['frontal'] else ', no frontal'}"
        for study in studies
    ]
    return CommandResult({"studies": studies}, lines or ["The archive holds no study."])
