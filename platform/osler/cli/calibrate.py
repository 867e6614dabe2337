"""`osler calibrate`: what labelled studies of a site say of a model's probabilities there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.calibrate.record import SiteCalibration

SUMMARY = "calibrate a model at a site: probabilities, operating points and prediction sets, until a date"
DAYS = 180


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler calibrate`."""
    parser.add_argument("--site", help="the site to calibrate at")
    parser.add_argument("--model", metavar="NAME", help="a model of the workspace")
    parser.add_argument("--patch", metavar="ID", help="calibrate under this patch instead of the one in force")
    parser.add_argument("--no-patch", action="store_true", help="calibrate the model without a patch")
    parser.add_argument("--coverage", type=float, default=0.9, help="coverage of prediction sets (default: 0.9)")
    parser.add_argument(
        "--sets", choices=("lac", "class-conditional"), help="how sets are made (default: by class from 100 of each)"
    )
    parser.add_argument(
        "--sensitivity", type=float, default=0.9, help="share of a class that its operating point calls (default: 0.9)"
    )
    parser.add_argument(
        "--expires", type=date.fromisoformat, metavar="DATE", help=f"last day (default: {DAYS} days on)"
    )
    parser.add_argument("--label", metavar="COLUMN", help="label that holds the class (default: found by its values)")
    parser.add_argument("--studies", type=Path, metavar="CSV", help="take these labelled studies, not all of the site")
    parser.add_argument("--support", type=Path, metavar="CSV", help="the studies that the patch was fitted on")
    parser.add_argument(
        "--author", metavar="NAME", help="who decides, for record and audit log (default: your account)"
    )
    parser.add_argument("--date", type=date.fromisoformat, help="ISO date that it bears (default: today)")
    parser.add_argument("--no-track", action="store_true", help="do not log to the tracker")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="list the calibrations of the workspace instead")
    other.add_argument("--revoke", metavar="ID", help="take this calibration out of force instead; it is kept")
    parser.add_argument("--note", default="", help="why it is revoked, for the history")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Calibrate, list or revoke."""
    from osler.calibrate.service import revoke
    from osler.calibrate.store import CalibrationStore
    from osler.calibrate.words import headline
    from osler.cli.people import account
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    store = CalibrationStore(workspace.calibrations)
    if arguments.list:
        every = store.all()
        lines = [headline(one) for one in every] or ["The workspace has no calibration."]
        return CommandResult({"calibrations": [_record(one) for one in every]}, lines)
    today = arguments.date or date.today()
    if arguments.revoke:
        held, on = store.get(arguments.revoke), today.isoformat()
        actor = arguments.author or account()
        return _shown(revoke(workspace, held, on=on, actor=actor, note=arguments.note))
    return _shown(_calibrate(arguments, today, arguments.author or account()))


def _calibrate(arguments: argparse.Namespace, today: date, author: str) -> SiteCalibration:
    from osler.adapt.support import read_support
    from osler.calibrate.service import calibrate
    from osler.explain.service import StudyExplainer
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not arguments.site or not arguments.model:
        raise OslerError(Code.USAGE, "No site or no model is named.", "Give --site and --model.")
    explainer = StudyExplainer(Workspace.open(arguments.workspace), arguments.model)
    return calibrate(
        explainer,
        arguments.site,
        label=arguments.label,
        patch=explainer.patches.get(arguments.patch) if arguments.patch else None,
        patched=not arguments.no_patch,
        chosen=read_support(arguments.studies) if arguments.studies else None,
        support=read_support(arguments.support) if arguments.support else None,
        coverage=arguments.coverage,
        sensitivity=arguments.sensitivity,
        method=arguments.sets,
        author=author,
        created=today.isoformat(),
        expires=(arguments.expires or today + timedelta(days=DAYS)).isoformat(),
        track=not arguments.no_track,
    )


def _record(one: SiteCalibration) -> dict[str, object]:
    return asdict(one) | {"id": one.id}


def _shown(one: SiteCalibration) -> CommandResult:
    from osler.calibrate.words import calibration_lines

    return CommandResult({"calibration": _record(one)}, calibration_lines(one))
