"""`osler watch`: follow a PACS, and give each study's result back to it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.people import account
from osler.watch.records import Stage

if TYPE_CHECKING:
    from osler.watch.records import Watched

SUMMARY = "follow a PACS: take new studies in, explain them, and store the reports back"
STAGES = tuple(map(str, Stage))
MOST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler watch`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    running = actions.add_parser("run", help="watch until stopped (SIGTERM or Ctrl-C ends it after the step under way)")
    _add_settings(running)
    running.add_argument("--once", action="store_true", help="stop when nothing is under way any more")
    checking = actions.add_parser("check", help="read the settings, open everything, and stop")
    _add_settings(checking)
    status = actions.add_parser("status", help="say whether the watch lives, and how many studies are at each stage")
    add_workspace(status)
    listing = actions.add_parser("list", help="list studies, the newest first")
    listing.add_argument("--stage", choices=STAGES, help="only those at this stage")
    listing.add_argument("--limit", type=int, default=MOST, metavar="N", help=f"at most so many (default: {MOST})")
    add_workspace(listing)
    showing = actions.add_parser("show", help="show the steps of a study")
    showing.add_argument("study", metavar="STUDY_UID", help="pseudonymous UID, as `osler watch list` shows it")
    add_workspace(showing)
    retrying = actions.add_parser(
        "retry", help="let studies that were set aside begin again, or a deleted one come back"
    )
    retrying.add_argument("study", nargs="?", metavar="STUDY_UID", help="one of `osler watch list --stage set-aside`")
    retrying.add_argument("--all", action="store_true", help="all that were set aside, but for deleted ones")
    retrying.add_argument("--actor", default=account(), help="who asks (default: this account)")
    add_workspace(retrying)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings (default: watch.yaml in the workspace)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    actions = {"run": _run, "check": _check, "status": _status, "list": _list, "show": _show, "retry": _retry}
    return actions[arguments.action](arguments)


def _run(arguments: argparse.Namespace) -> CommandResult:
    from osler.watch.loop import Watch
    from osler.watch.settings import load_watch
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    counts = Watch(workspace, load_watch(workspace, arguments.settings), say).run(once=arguments.once)
    return CommandResult({"studies": counts}, _count_lines(counts), counts.get("set-aside", 0) if arguments.once else 0)


def _check(arguments: argparse.Namespace) -> CommandResult:
    from osler.watch.opening import open_engine
    from osler.watch.settings import load_watch
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    settings = load_watch(workspace, arguments.settings)
    engine = open_engine(workspace, settings, lambda: True)
    try:
        if settings.follow.feed != "listener":
            engine.feed.changes(engine.store.cursor(engine.feed.name), 1)
    finally:
        engine.feed.close()
    sites = [site.name for site in settings.sites]
    payload = {"feed": settings.follow.address, "fetch_from": settings.fetching, "report_to": settings.reporting}
    lines = [f"{name}: {address}" for name, address in payload.items()]
    return CommandResult(payload | {"sites": sites}, [*lines, f"sites: {', '.join(sites)}", "ready"])


def _status(arguments: argparse.Namespace) -> CommandResult:
    from osler.watch.status import read_beat
    from osler.watch.store import WatchStore
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    beat = read_beat(workspace)
    counts = dict(WatchStore(workspace).counts())
    alive = beat is not None and beat.alive
    payload: dict[str, Any] = {
        "alive": alive,
        "beat": None if beat is None else asdict(beat) | {"overdue": beat.overdue},
        "studies": counts,
    }
    if beat is None:
        lines = ["No watch ever ran in this workspace."]
    else:
        word = beat.state if alive or beat.state == "stopped" else "gone: it was killed, or it hangs"
        lines = [f"The watch is {word}; last sign of life {_time(beat.at)}."]
        lines += [f"It pauses: {beat.reason} [{beat.code}]"] if beat.code else []
    gone = beat is not None and not alive and beat.state != "stopped"
    return CommandResult(payload, [*lines, *_count_lines(counts)], failed=gone)


def _list(arguments: argparse.Namespace) -> CommandResult:
    from osler.watch.store import WatchStore
    from osler.workspace import Workspace

    store = WatchStore(Workspace.open(arguments.workspace))
    found = store.studies(Stage(arguments.stage) if arguments.stage else None, max(arguments.limit, 1))
    lines = [
        f"{one.uid}  {one.stage:10s}  {_time(one.touched)}  {one.site or '-'}  {one.code}".rstrip() for one in found
    ]
    return CommandResult({"studies": [_told(one) for one in found]}, lines)


def _show(arguments: argparse.Namespace) -> CommandResult:
    from osler.watch.store import WatchStore
    from osler.workspace import Workspace

    store = WatchStore(Workspace.open(arguments.workspace))
    study, steps = store.study(arguments.study), store.steps(arguments.study)
    lines = [f"{study.uid} of {study.site or 'no site yet'}: {study.stage}, {study.reports} reports sent"]
    lines += [f"  {study.reason} [{study.code}]"] if study.code else []
    lines += [f"  {_time(one.at)}  {one.step:10s}  {one.detail}".rstrip() for one in steps]
    told = [{"step": one.step, "at": _time(one.at), "detail": one.detail} for one in steps]
    return CommandResult(_told(study) | {"steps": told}, lines)


def _retry(arguments: argparse.Namespace) -> CommandResult:
    from osler import audit
    from osler.watch.store import WatchStore
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if bool(arguments.study) == arguments.all:
        raise OslerError(Code.USAGE, "Name a study, or give --all.", "See `osler watch list --stage set-aside`.")
    workspace = Workspace.open(arguments.workspace)
    store = WatchStore(workspace)
    # Noted before it is done: that a deletion is undone must not happen unseen.
    deleted = store.deleted_on(arguments.study) if arguments.study else None
    if deleted is not None:
        told = {"undoes": f"deletion of {deleted}"}
        audit.record(workspace, actor=arguments.actor, action="watch.retry", subject=arguments.study, details=told)
    again = store.retry(arguments.study)
    for uid in again if deleted is None else ():
        audit.record(workspace, actor=arguments.actor, action="watch.retry", subject=uid)
    return CommandResult({"studies": again}, [f"{len(again)} studies begin again", *again])


def _told(study: Watched) -> dict[str, Any]:
    """Return what may be told of a study: neither its sealed UID nor its report."""
    values = asdict(study)
    names = ("uid", "stage", "site", "title", "reports", "attempts", "code", "reason")
    times = {name: _time(values[name]) for name in ("seen", "touched", "settled") if values[name]}
    return {name: values[name] for name in names} | times


def _count_lines(counts: dict[str, int]) -> list[str]:
    return [f"{counts[stage]:6d}  {stage}" for stage in STAGES if counts.get(stage)]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
