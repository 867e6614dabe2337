"""`osler train`: one method of a recipe as a model of the workspace."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say

SUMMARY = "fit one method of a recipe and keep it as a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe, of `osler shift`"
    )
    parser.add_argument("--method", required=True, metavar="NAME", help="entry of the recipe's methods")
    parser.add_argument("--encoder", metavar="NAME", help="entry of its encoders (default: the method's, or the first)")
    parser.add_argument("--preprocessing", metavar="NAME", help="entry of its preprocessing (default: the first)")
    parser.add_argument("--source", metavar="SITE", help="site to learn at (default: the recipe's first)")
    parser.add_argument("--seed", type=int, help="seed (default: the recipe's)")
    parser.add_argument("--out", required=True, metavar="NAME", help="name of the model in the workspace")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder of features (default: the workspace's)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Fit and store it."""
    import re

    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_training.shift.lines import read_recipe
    from osler_training.shift.plan import Cell
    from osler_training.shift.train import train

    if not re.fullmatch(r"[\w-][\w.-]*", arguments.out):
        raise OslerError(
            Code.USAGE,
            f"{arguments.out!r} is no name of a model.",
            "Use letters, digits, _ and -; it goes to the workspace.",
        )
    file = read_recipe(arguments.recipe)
    recipe = file.recipe
    entry = recipe.methods.get(arguments.method)
    encoders = (entry.encoders if entry else ()) or tuple(recipe.encoders)
    preprocessing = (entry.preprocessing if entry else ()) or tuple(recipe.preprocessing)
    cell = Cell(
        arguments.source or recipe.source[0],
        recipe.seed if arguments.seed is None else arguments.seed,
        arguments.encoder or encoders[0],
        arguments.preprocessing or preprocessing[0],
        arguments.method,
    )
    workspace = Workspace.open(arguments.workspace, create=True)
    trained = train(
        file, cell, workspace, arguments.out, cache=arguments.cache, progress=lambda line: say(f"train: {line}")
    )
    payload = {
        "model": arguments.out,
        "folder": str(trained.folder),
        "digest": trained.digest,
        "notes": trained.notes,
        "test": trained.scores,
    }
    return CommandResult(payload, [trained.card, f"Next: osler evaluate --model {arguments.out} --site SITE"])
