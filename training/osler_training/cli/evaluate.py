"""`osler evaluate`: a model of the workspace at an ingested site."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from osler.cli.command import CommandResult, add_workspace, say

SUMMARY = "score a model at an ingested site, with intervals; nothing about the site is needed beforehand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--model", required=True, metavar="NAME", help="a model of the workspace")
    parser.add_argument("--site", required=True, help="an ingested site")
    parser.add_argument("--label", metavar="COLUMN", help="label that holds the class (default: found by its values)")
    parser.add_argument(
        "--map", action="append", default=[], metavar="VALUE=CLASS", help="a site's own word for a class; repeatable"
    )
    parser.add_argument("--patch", metavar="ID", help="apply a patch of `osler adapt` (default: none)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the predictions (default: in the workspace)"
    )
    parser.add_argument("--seed", type=int, default=20, help="seed of the bootstrap (default: 20)")
    parser.add_argument("--replicates", type=int, default=1000, metavar="N", help="its replicates (default: 1000)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Evaluate, and say what the figures rest on."""
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_training.shift.evaluate import Question, evaluate

    pairs = [text.partition("=") for text in arguments.map]
    if wrong := [value for value, _, name in pairs if not (value and name)] or arguments.replicates < 1:
        raise OslerError(
            Code.USAGE, f"--map or --replicates is wrong: {wrong}.", "Write --map VALUE=CLASS, and 1 or more."
        )
    question = Question(
        arguments.model,
        arguments.site,
        label=arguments.label,
        names={value: name for value, _, name in pairs},
        patch=arguments.patch,
        seed=arguments.seed,
        replicates=arguments.replicates,
    )
    workspace = Workspace.open(arguments.workspace)
    answer = evaluate(workspace, question, out=arguments.out, progress=lambda line: say(f"evaluate: {line}"))
    return CommandResult(answer, lines_of(answer))


def lines_of(answer: dict[str, Any]) -> list[str]:
    """Return the answer as text."""
    lines = [f"{answer['model']['name']} at {answer['site']}: {answer['n']} studies of {answer['patients']} patients"]
    lines += [f"  {name.replace('_', ' ')}: {_figure(one)}" for name, one in answer["metrics"].items()]
    lines += [f"  recall of {name}: {_figure(one)}, n {one['n']}" for name, one in answer["recall"].items()]
    if answer["absent_classes"]:
        lines.append(f"  not at the site, and left out of the means: {', '.join(answer['absent_classes'])}")
    lines.append(f"label: {answer['label']['column']}; left out: {answer['studies']['left_out'] or 'none'}")
    lines.append(
        f"label-free corrections: {', '.join(answer['corrections']['applied']) or 'none'}; {answer['corrections']['note']}"
    )
    lines.append(f"probabilities assume {answer['prevalence']['probabilities_assume']}")
    return [*lines, f"predictions: {answer['predictions']}", answer["notice"]]


def _figure(one: dict[str, Any]) -> str:
    value, low, high = (one[key] for key in ("value", "ci_low", "ci_high"))
    if value is None:
        return "undefined here"
    return f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None else " (no interval)")
