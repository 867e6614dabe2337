"""`osler adapt bench`: adapters by preprocessing by site by shots over many support draws, and a page to publish."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say

SUMMARY = "run a bench of adapters over sites, preprocessings, shots and draws (resumable), and write its page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default: bench/NAME)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes of one thread each (default: 2)")
    parser.add_argument("--resume", action="store_true", help="go on with what DIR holds of the same recipe and data")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of features, for recipes to share (default: DIR.features)"
    )
    parser.add_argument("--check", action="store_true", help="look at recipe, data and splits, and fit nothing")
    parser.add_argument("--no-tracking", action="store_true", help="leave MLflow alone")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the bench, or look at what it would run."""
    from osler.workspace import Workspace
    from osler_training.adaptation.markdown import write_markdown
    from osler_training.adaptation.page import write_page
    from osler_training.adaptation.recipe import AdaptRecipe
    from osler_training.adaptation.run import counts, run_bench
    from osler_training.adaptation.track import track
    from osler_training.shift.lab import cache_folder
    from osler_training.shift.lines import read_recipe

    file = read_recipe(arguments.recipe, AdaptRecipe)
    if arguments.check:
        return _check(file)
    out = (arguments.out or Path("bench") / file.recipe.name).resolve()
    ran = run_bench(
        file,
        out,
        cache=cache_folder(arguments.cache, out),
        workers=max(arguments.workers, 1),
        resume=arguments.resume,
        progress=lambda line: say(f"bench: {line}"),
    )
    runs = {} if arguments.no_tracking else track(Workspace.open(arguments.workspace, create=True), out)
    page, markdown = write_page(out), write_markdown(out)
    lines = [f"{ran.done} cells in {ran.seconds / 60:.1f} min; the table is in {out}, the page is {page}."]
    lines += [f"refused: {name}: {why}" for name, why in ran.refused.items()]
    lines += [f"failed: {name}: {why}" for name, why in ran.failed.items()]
    payload = {
        "out": str(out),
        "page": str(page),
        "markdown": str(markdown),
        "seconds": round(ran.seconds, 1),
        "mlflow": runs,
        "phantom": file.recipe.phantom,
        **counts(ran),
    }
    return CommandResult(payload, lines, refused=len(ran.refused), failed=bool(ran.failed))


def _check(file: object) -> CommandResult:
    from osler_training.adaptation.bench import open_bench
    from osler_training.adaptation.plan import cells_of
    from osler_training.shift.lines import RecipeFile

    assert isinstance(file, RecipeFile)
    bench, _ = open_bench(file)
    described = bench.describe()
    lines = [
        f"{name}: test half {one['test']}, pool {one['pool']}, shots {', '.join(one['shots'])}"
        for name, one in described["halves"].items()
    ]
    lines += [f"refused: {name}: {why}" for name, why in bench.refused.items()]
    cells = [cell for cell in cells_of(bench.recipe) if (cell.target, cell.fit.seed) in bench.halves]
    lines.append(f"{len(cells)} cells, {len(bench.lab.bank.ids)} concepts; nothing is wrong.")
    return CommandResult({**described, "cells": len(cells)}, lines, refused=len(bench.refused))
