"""`osler pretrain`: train the image-text encoder that Osler ships, from its recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, say

SUMMARY = "train the small image-text encoder on phantoms (about half an hour on 2 cores)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("out", type=Path, metavar="DIR", help="folder to write the encoder to")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="recipe (default: the shipped one)")
    parser.add_argument(
        "--cache", type=Path, default=Path("workspaces/pretrain"), metavar="DIR", help="keeps rendered pairs"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that render (default: 2)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Train and write the folder."""
    from osler_training.pretrain.recipe import PretrainRecipe, pretrain

    recipe = PretrainRecipe.load(arguments.recipe)
    encoder = pretrain(recipe, arguments.out, arguments.cache, workers=arguments.workers, progress=say)
    return CommandResult(
        payload={"name": encoder.name, "digest": encoder.digest, "width": encoder.width},
        lines=[f"Wrote encoder {encoder.name} ({encoder.digest[:12]}) to {arguments.out}."],
    )
