"""`osler suggest`: which studies of a site to label next."""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "list the studies of a site that are worth labelling next"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler suggest`."""
    parser.add_argument("--site", required=True, help="name of the site")
    parser.add_argument("--model", required=True, metavar="NAME", help="a model of the workspace")
    parser.add_argument("--count", type=int, default=12, metavar="K", help="how many to list (default: 12)")
    parser.add_argument("--label", metavar="COLUMN", help="label that holds the class (default: found by its values)")
    parser.add_argument("--no-patch", action="store_true", help="leave the patch in force aside")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """List studies to label."""
    from dataclasses import asdict

    from osler.explain.service import StudyExplainer
    from osler.monitor.labelling import suggest_studies
    from osler.workspace import Workspace

    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    patch = None if arguments.no_patch else explainer.active_patch(arguments.site)
    listed = suggest_studies(explainer, arguments.site, arguments.count, label=arguments.label, patch=patch)
    lines = [f"{rank}  {one.study}  {one.reason}" for rank, one in enumerate(listed, 1)]
    payload = {"site": arguments.site, "model": arguments.model, "patch": None if patch is None else patch.id}
    return CommandResult(payload | {"studies": [asdict(one) for one in listed]}, lines)
