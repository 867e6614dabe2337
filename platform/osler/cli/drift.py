"""`osler drift`: does what arrives still look like the reference, and if not, which field moved, since when, how sure?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace, say

if TYPE_CHECKING:
    from osler_contracts.drift.observations import Observations
    from osler_contracts.drift.report import DriftReport

SUMMARY = "compare what arrives with a site's reference profile"
_EXIT = "A move is an answer, not a failure: the exit code is 0 and `moved` of --json names the fields."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions `profile` and `check`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    profile = actions.add_parser("profile", help="make the reference profile of a site from archived studies")
    profile.add_argument("--site", required=True, help="name of the site")
    profile.add_argument("--first", type=int, default=300, metavar="N", help="take its first N studies (default: 300)")
    profile.add_argument(
        "--runs", type=int, nargs="+", default=(), metavar="RUN", help="take these runs of ingest instead"
    )
    check = actions.add_parser(
        "check", help="compare what arrived after the reference with it", description=f"{SUMMARY}. {_EXIT}"
    )
    check.add_argument("--site", help="name of the site (not for tables of headers)")
    part = check.add_mutually_exclusive_group()
    part.add_argument("--last", type=int, metavar="N", help="only the last N studies")
    part.add_argument("--since", type=int, metavar="RUN", help="only what this run of ingest and later ones brought")
    check.add_argument("--no-track", action="store_true", help="do not log to the tracker")
    check.add_argument("--level", type=float, default=0.05, help="rate of false discoveries to accept (default: 0.05)")
    tables = check.add_argument_group("tables of headers instead of a site")
    tables.add_argument("--headers", type=Path, metavar="FILE", help="CSV (or .csv.gz), a column a DICOM attribute")
    tables.add_argument("--against", type=Path, metavar="FILE", help="the table that is the reference")
    tables.add_argument(
        "--halves", type=int, metavar="SEED", help="compare two random halves of --headers: what chance alone does"
    )
    tables.add_argument("--unit", metavar="COLUMN", help="column that tells patients apart (default: Patient ID)")
    for action in (profile, check):
        action.add_argument("--workers", type=int, default=2, help="processes that decode images; 0 works in this one")
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run `profile` or `check`."""
    if arguments.action == "profile":
        return _profile(arguments)
    return _check_tables(arguments) if arguments.headers is not None else _check_site(arguments)


def _profile(arguments: argparse.Namespace) -> CommandResult:
    from osler.drift.check import make_reference
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    profile = make_reference(
        workspace,
        arguments.site,
        first=arguments.first,
        runs=arguments.runs,
        workers=arguments.workers,
        progress=_progress,
    )
    facts = {"units": profile.units, "images": profile.images, "fields": len(profile.fields)}
    payload = {"site": profile.site, "sha256": profile.sha256, "unit": profile.unit, "origin": dict(profile.origin)}
    made_of = f"{profile.units} {profile.unit}s, {profile.images} images ({profile.origin['selection']})"
    line = f"Reference profile of {profile.site}: {made_of}, {len(profile.fields)} fields, {profile.sha256[:12]}"
    return CommandResult(payload | facts, [line])


def _check_site(arguments: argparse.Namespace) -> CommandResult:
    from osler.drift.check import check
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not arguments.site:
        raise OslerError(Code.USAGE, "Nothing to check is named.", "Give --site NAME, or --headers with --against.")
    _check_level(arguments.level)
    report = check(
        Workspace.open(arguments.workspace),
        arguments.site,
        last=arguments.last,
        since_run=arguments.since,
        level=arguments.level,
        workers=arguments.workers,
        progress=_progress,
        track=not arguments.no_track,
    )
    return _answer(report)


def _check_tables(arguments: argparse.Namespace) -> CommandResult:
    from osler_contracts.codes import Code
    from osler_contracts.drift.compare import compare
    from osler_contracts.drift.observations import read_headers
    from osler_contracts.drift.reference import make_profile
    from osler_contracts.errors import OslerError

    if (arguments.against is None) == (arguments.halves is None) or arguments.site:
        raise OslerError(
            Code.USAGE,
            "A table needs one other to be compared with.",
            "Give --against FILE or --halves SEED, no --site.",
        )
    _check_level(arguments.level)
    batch = read_headers(arguments.headers, arguments.unit)
    if arguments.halves is None:
        reference = read_headers(arguments.against, arguments.unit)
    else:
        reference, batch = _halves(batch, arguments.halves)
    return _answer(compare(make_profile(reference, site="headers"), batch, level=arguments.level))


def _halves(table: Observations, seed: int) -> tuple[Observations, Observations]:
    """Split a table by patient, at random."""
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(table.count) < table.count // 2
    return table.take(chosen[table.units]), table.take(~chosen[table.units])


def _check_level(level: float) -> None:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not 0 < level < 1:
        raise OslerError(Code.USAGE, f"--level {level:g} is no rate.", "Give a number between 0 and 1, such as 0.05.")


def _answer(report: DriftReport) -> CommandResult:
    from osler_contracts.drift.words import report_lines

    return CommandResult(report.to_dict(), report_lines(report))


def _progress(done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        say(f"read {done} of {total} images")
