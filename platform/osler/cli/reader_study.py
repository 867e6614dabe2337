"""`osler reader-study`: declare a study of readers, watch it, and measure what the advice did."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace, say

if TYPE_CHECKING:
    from osler.feedback.figures import Figure

SUMMARY = "declare a study of readers, watch it, and measure what the advice did"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler reader-study`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    starting = actions.add_parser("start", help="draw cases, ask the model once, and give every reader an order")
    starting.add_argument("protocol", type=Path, metavar="YAML", help="what is declared: see docs/reader-study.md")
    starting.add_argument("--check", action="store_true", help="only say whether the protocol can be read")
    listing = actions.add_parser("list", help="list the studies, and how far they are")
    showing = actions.add_parser("show", help="say how far each reader is")
    exporting = actions.add_parser("export", help="write readings and figures by arm")
    for action in (showing, exporting):
        action.add_argument("study", metavar="NAME", help="the study's name")
    exporting.add_argument("--format", choices=("csv",), default="csv", help="tables (default)")
    exporting.add_argument("--out", type=Path, required=True, metavar="FILE", help="the table of readings")
    exporting.add_argument("--seed", type=int, default=0, help="seed of the intervals (default: 0)")
    exporting.add_argument(
        "--replicates", type=int, default=1000, metavar="N", help="draws for the intervals (default: 1000)"
    )
    for action in (starting, exporting):
        action.add_argument("--author", metavar="NAME", help="who does it, for the audit log (default: your account)")
    for action in (starting, listing, showing, exporting):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    return {"start": _start, "list": _list, "show": _show, "export": _export}[arguments.action](arguments)


def _start(arguments: argparse.Namespace) -> CommandResult:
    from osler import audit
    from osler.cli.people import account
    from osler.reader_study.protocol import read_protocol
    from osler.reader_study.study import start
    from osler.workspace import Workspace

    protocol = read_protocol(arguments.protocol)
    if arguments.check:
        return CommandResult({"protocol": protocol.model_dump(mode="json")}, [f"{protocol.name} can be read."])
    workspace = Workspace.open(arguments.workspace)
    say(f"reader-study: asking {protocol.model} about the cases")
    study = start(workspace, protocol)
    audit.record(
        workspace,
        actor=arguments.author or account(),
        action="reader-study.start",
        subject=protocol.name,
        details={"cases": str(len(study.cases)), "readers": str(len(protocol.readers))},
    )
    planted = sum(one.planted for one in study.cases.values())
    payload = {
        "study": protocol.name,
        "cases": len(study.cases),
        "planted": planted,
        "readings": len(study.readings),
        "traced": dict(study.traced),
    }
    each = len(study.readings) // len(protocol.readers)
    return CommandResult(
        payload,
        [
            f"{protocol.name}: {len(study.cases)} cases, the advice of {planted} of them wrong on purpose.",
            f"Each of {len(protocol.readers)} readers reads {each} times.",
            "Readers find it on the page Reader study of `osler dashboard`.",
        ],
    )


def _list(arguments: argparse.Namespace) -> CommandResult:
    from osler.reader_study.study import ReaderStudy, study_names
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    studies = [ReaderStudy.load(workspace, name) for name in study_names(workspace)]
    rows = [
        {"study": one.protocol.name, "title": one.protocol.title, "done": len(one.answers()), "of": len(one.readings)}
        for one in studies
    ]
    lines = [f"{row['study']}  {row['done']} of {row['of']} readings  {row['title']}" for row in rows]
    return CommandResult({"studies": rows}, lines or ["There is no reader study here."])


def _show(arguments: argparse.Namespace) -> CommandResult:
    from osler.reader_study.study import ReaderStudy
    from osler.workspace import Workspace

    study = ReaderStudy.load(Workspace.open(arguments.workspace), arguments.study)
    turns = {name: study.turn(name) for name in study.protocol.readers}
    rows = [
        {"reader": name, "done": one.done, "of": one.of, "waits_until": one.until.isoformat() if one.until else None}
        for name, one in turns.items()
    ]
    lines = [
        f"{name}: {one.done} of {one.of}" + (f", goes on {one.until:%Y-%m-%d}" if one.until else "")
        for name, one in turns.items()
    ]
    return CommandResult(
        {"study": study.protocol.name, "traced": dict(study.traced), "readers": rows}, [study.protocol.title, *lines]
    )


def _export(arguments: argparse.Namespace) -> CommandResult:
    from osler import audit
    from osler.cli.people import account
    from osler.reader_study.results import MEASURES, export, measures
    from osler.reader_study.study import ReaderStudy
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not 1 <= arguments.replicates <= 100_000:
        raise OslerError(Code.USAGE, f"--replicates {arguments.replicates} is out of range.", "Give 1 to 100000.")
    workspace = Workspace.open(arguments.workspace)
    study = ReaderStudy.load(workspace, arguments.study)
    found = measures(study, seed=arguments.seed, replicates=arguments.replicates)
    paths = export(study, found, arguments.out)
    actor = arguments.author or account()
    audit.record(workspace, actor=actor, action="reader-study.export", subject=study.protocol.name)
    lines = [f"{one.arm}: {MEASURES[one.measure]}: {_figure(one.both)} ({one.both.n} readings)" for one in found]
    payload = {"paths": [str(path) for path in paths], "measures": [asdict(one) for one in found]}
    return CommandResult(payload, [*lines, f"Written: {', '.join(map(str, paths))}"])


def _figure(one: Figure) -> str:
    if one.value is None:
        return "not defined"
    interval = "" if one.low is None or one.high is None else f" [{one.low:.3g}, {one.high:.3g}]"
    return f"{one.value:.3g}{interval}"
