"""`osler sweep`: is the bottleneck's lead earned? Confounding from none to complete, on phantoms."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osler.cli.command import CommandResult, say
from osler_training.cli.options import add_encoder

SUMMARY = "measure methods over levels of confounding on phantoms (long; can be resumed)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--recipe", default="sweep", metavar="FILE", help="a YAML file, or the name of a shipped recipe"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for cells, tables and plot")
    parser.add_argument(
        "--renders",
        type=Path,
        metavar="DIR",
        help="folder that keeps renders, for sweeps to share (default: OUT.renders)",
    )
    add_encoder(parser)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--resume", action="store_true", help="go on with what DIR holds of the same recipe")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the sweep."""
    from functools import partial

    from osler_training.experiments.phantom_setting import prepare, render_everything
    from osler_training.experiments.sweep import run_sweep
    from osler_training.recipes.recipe import SweepRecipe, load_recipe

    recipe = load_recipe(SweepRecipe, arguments.recipe).with_encoder(arguments.encoder)
    out = arguments.out.resolve()
    cache = arguments.renders or out.with_name(out.name + ".renders")
    render_everything(recipe, cache=cache, workers=arguments.workers, progress=say)
    summary = run_sweep(
        recipe,
        arguments.out,
        partial(prepare, cache=cache),
        workers=arguments.workers,
        resume=arguments.resume,
        progress=say,
    )
    # JSON has no NaN: with one seed there is no interval over seeds.
    records = summary.astype(object).where(summary.notna(), None).to_dict("records")
    words = {"lead": "lead over", "gain": "gain of adaptation by"}
    lines = [
        f"{row['arm']}, {row['test']} test, confounding {row['level']:g}: {words[row['quantity']]} {row['method']} "
        f"{100 * row['mean']:+.1f} points" + _interval(row)
        for row in records
        if row["quantity"] in words
    ]
    lines.append(f"Phantom results. Tables and plot are in {arguments.out}.")
    return CommandResult({"phantom": True, "summary": records, "out": str(arguments.out)}, lines)


def _interval(row: Mapping[Any, Any]) -> str:
    if row["ci_low"] is None:
        return " (one seed, no interval)"
    return f" ({100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})"
