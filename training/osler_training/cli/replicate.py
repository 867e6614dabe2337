"""`osler replicate`: rerun a published table on the files that its authors distribute."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, say

SUMMARY = "rerun a published table on its authors' own feature files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    tables = parser.add_subparsers(dest="table", required=True, metavar="TABLE")
    knobo = tables.add_parser("knobo", help="KnoBo: linear probe, PCBM, LaBo and KnoBo on confounded and other sets")
    knobo.add_argument(
        "--features",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder `data` of its repository, or `data/features`",
    )
    knobo.add_argument("--modality", choices=["xray", "skin"], help="only one of the two tables")
    knobo.add_argument("--method", action="append", metavar="NAME", help="only this method; repeatable")
    knobo.add_argument(
        "--model", default="", metavar="NAME", help="encoder of the features (default: the modality's own)"
    )
    knobo.add_argument("--bottleneck", default="PubMed", metavar="CORPUS", help="list of concepts (default: PubMed)")
    knobo.add_argument("--concepts", type=int, default=150, metavar="N", help="most concepts kept (default: 150)")
    knobo.add_argument("--seed", type=int, default=0, metavar="S", help="seed of splits and fits (default: 0)")
    knobo.add_argument("--out", type=Path, metavar="DIR", help="write table.json and table.txt there")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Rerun the table."""
    import json

    from osler.files import write_atomically
    from osler_training.replicate.knobo import Plan, replicate
    from osler_training.replicate.table import table_lines

    default = Plan()
    plan = Plan(
        modalities=(arguments.modality,) if arguments.modality else default.modalities,
        methods=tuple(arguments.method or default.methods),
        corpus=arguments.bottleneck,
        concepts=arguments.concepts,
        model=arguments.model,
        seed=arguments.seed,
    )
    record = replicate(arguments.features, plan, progress=lambda line: say(f"replicate: {line}"))
    lines = table_lines(record)
    if arguments.out:
        write_atomically(arguments.out / "table.json", (json.dumps(record, indent=1) + "\n").encode())
        write_atomically(arguments.out / "table.txt", ("\n".join(lines) + "\n").encode())
    return CommandResult(payload=record, lines=lines)
