"""`osler shift`: one recipe over sites, encoders, label-free corrections and methods, and a page to publish."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.engine import add_engine, chosen_engine

SUMMARY = "run a recipe of sites, corrections and methods (resumable), and write its page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    runs = actions.add_parser("run", help="run every cell of a recipe that is not there yet")
    runs.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped recipe")
    runs.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default: shift/NAME)")
    runs.add_argument("--resume", action="store_true", help="go on with what DIR holds of the same recipe and data")
    runs.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of features, for recipes to share (default: DIR.features)"
    )
    runs.add_argument("--check", action="store_true", help="look at recipe, data and splits, and fit nothing")
    runs.add_argument("--no-tracking", action="store_true", help="leave MLflow alone")
    add_engine(runs, "worker processes of one thread each (default: 2, or one for each core of a Ray cluster)")
    add_workspace(runs)
    report = actions.add_parser("report", help="write one HTML page of a run")
    report.add_argument("folder", type=Path, metavar="DIR", help="folder of the results")
    report.add_argument("--out", type=Path, metavar="FILE", help="the page (default: DIR/report.html)")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the action."""
    return _report(arguments) if arguments.action == "report" else _run(arguments)


def _run(arguments: argparse.Namespace) -> CommandResult:
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_training.shift.lab import cache_folder, open_lab
    from osler_training.shift.lines import read_recipe
    from osler_training.shift.plan import cells_of
    from osler_training.shift.run import counts, run_recipe
    from osler_training.shift.track import track

    file = read_recipe(arguments.recipe)
    if arguments.check:
        lab, _ = open_lab(file)
        described = lab.describe()
        lines = [f"{name}: {one['images']} images, {one['classes']}" for name, one in described["sites"].items()]
        lines.append(f"{len(cells_of(lab.recipe))} cells, {len(lab.bank.ids)} concepts; nothing is wrong.")
        return CommandResult({**described, "cells": len(cells_of(lab.recipe))}, lines)
    engine = chosen_engine(arguments)
    if engine.here:
        raise OslerError(Code.USAGE, "A run needs a worker.", "Give --workers 1 or more.")
    out = (arguments.out or Path("shift") / file.recipe.name).resolve()
    ran = run_recipe(
        file,
        out,
        cache=cache_folder(arguments.cache, out),
        engine=engine,
        resume=arguments.resume,
        progress=lambda line: say(f"shift: {line}"),
    )
    runs = {} if arguments.no_tracking else track(Workspace.open(arguments.workspace, create=True), out)
    told = counts(ran)
    lines = [f"{ran.done} cells in {ran.seconds / 60:.1f} min; table and predictions are in {out}."]
    lines += [f"refused, {count} cells: {reason}" for reason, count in told["reasons"].items()]
    lines += [f"failed: {cell}: {why}" for cell, why in ran.failed.items()]
    lines.append(f"Next: osler shift report {out}")
    payload = {
        "out": str(out),
        "seconds": round(ran.seconds, 1),
        "mlflow": runs,
        "phantom": file.recipe.phantom,
        **told,
    }
    return CommandResult(payload, lines, refused=len(ran.refused), failed=bool(ran.failed))


def _report(arguments: argparse.Namespace) -> CommandResult:
    from osler_training.shift.page import write_page

    page = write_page(arguments.folder, arguments.out or arguments.folder / "report.html")
    return CommandResult({"page": str(page), "bytes": page.stat().st_size}, [f"Wrote {page}."])
