"""`osler seed`: a new installation gets something to run with, a phantom model and a phantom study."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say

SUMMARY = "give a new installation a small phantom model and its PACS a phantom study, each where there is none yet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_workspace(parser)
    parser.add_argument("--to", required=True, metavar="ADDRESS", help="DICOMweb root of the PACS")
    parser.add_argument(
        "--recipe", default="services", metavar="NAME|FILE", help="recipe of the model (default: services)"
    )
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="certificates to trust (default: the usual authorities)"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="worker processes (default: 2)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Seed an installation; a second time nothing is changed."""
    from osler.workspace import Workspace
    from osler_training.demo.seeding import seed_installation

    workspace = Workspace.open(arguments.workspace, create=True)
    done = seed_installation(
        workspace,
        arguments.to,
        arguments.recipe,
        ca=arguments.ca,
        workers=arguments.workers,
        progress=lambda line: say(f"seed: {line}"),
    )
    lines = [
        "A model was fitted to phantoms: it says nothing about patients."
        if done.trained
        else "There is a model already.",
        f"The PACS holds the phantom study {done.study}: {done.sent} of {done.objects} objects were sent now.",
    ]
    return CommandResult({"phantom": True, **asdict(done)}, lines)
