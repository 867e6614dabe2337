"""`osler transfer`: learn at one ingested site and test at another."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say
from osler_training.cli.options import add_encoder

SUMMARY = "learn at one ingested site, test at another, and say how much each method falls"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_workspace(parser)
    parser.add_argument("--recipe", default="kermany_to_nih", metavar="NAME|FILE", help="recipe of the transfer")
    parser.add_argument(
        "--bank", type=Path, metavar="FILE", help="concept bank (default: built from the shipped corpus)"
    )
    add_encoder(parser)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="worker processes (default: 2)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the transfer."""
    from osler.workspace import Workspace
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.propose import build_bank
    from osler_training.demo.table import result_lines
    from osler_training.experiments.transfer import TransferRecipe, run_transfer
    from osler_training.recipes.recipe import load_recipe

    recipe = load_recipe(TransferRecipe, arguments.recipe).with_encoder(arguments.encoder)
    workspace = Workspace.open(arguments.workspace)
    bank = ConceptBank.load(arguments.bank).in_use() if arguments.bank else build_bank()
    record = run_transfer(workspace, recipe, bank, workers=arguments.workers, progress=say)
    return CommandResult(
        payload=record, lines=[f"Data: {recipe.data}. Encoder: {recipe.encoder}.", *result_lines(record["results"])]
    )
