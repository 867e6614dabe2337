"""`osler monitor`: which concepts moved among the arrivals of a site, how far, since when, and how sure that is."""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "compare the concepts of what arrives at a site with the source"
_EXIT = "A move is an answer, not a failure: the exit code is 0 and `moved` of --json names the concepts."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler monitor`."""
    parser.epilog = _EXIT
    parser.add_argument("--site", required=True, help="name of the site")
    parser.add_argument("--model", required=True, metavar="NAME", help="a model of the workspace")
    parser.add_argument(
        "--since", metavar="RUN|DATE", help="only what this run of ingest, or this day, and later brought"
    )
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="compare with the site's first N studies, not with the source"
    )
    parser.add_argument("--patched", action="store_true", help="read concepts as the patch in force makes them")
    parser.add_argument(
        "--level", type=float, default=0.05, help="chance of any false alarm, however often one looks (default: 0.05)"
    )
    parser.add_argument("--no-track", action="store_true", help="do not log to the tracker")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Monitor a site."""
    from osler.explain.service import StudyExplainer
    from osler.monitor.service import monitor
    from osler.monitor.words import report_lines
    from osler.workspace import Workspace

    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    report = monitor(
        explainer,
        arguments.site,
        since=arguments.since,
        first=arguments.first,
        patch=explainer.active_patch(arguments.site) if arguments.patched else None,
        level=arguments.level,
        track=not arguments.no_track,
    )
    return CommandResult(report.to_dict(), report_lines(report))
