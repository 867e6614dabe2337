"""`osler demo`: the main job on phantoms, from DICOM files to an adapted, explained model."""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult, add_workspace, say
from osler_training.cli.options import add_encoder

SUMMARY = "run the whole way on two phantom hospitals and print what it measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_workspace(parser)
    parser.add_argument("--recipe", default="demo", metavar="NAME|FILE", help="recipe (default: the shipped `demo`)")
    add_encoder(parser)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="worker processes (default: 2)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the demonstration."""
    from osler.workspace import Workspace
    from osler_training.demo.run import run_demo
    from osler_training.demo.table import summary_lines
    from osler_training.recipes.recipe import DemoRecipe, load_recipe

    recipe = load_recipe(DemoRecipe, arguments.recipe).with_encoder(arguments.encoder)
    workspace = Workspace.open(arguments.workspace, create=True)
    summary = run_demo(workspace, recipe, workers=arguments.workers, progress=lambda line: say(f"demo: {line}"))
    return CommandResult(payload=summary, lines=summary_lines(summary))
