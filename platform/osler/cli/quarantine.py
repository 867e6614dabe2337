"""`osler quarantine`: what was refused, why, and what a person does about it."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.crosswalk import add_crosswalk, chosen

if TYPE_CHECKING:
    from osler.archive.explanations import Explanation
    from osler.archive.quarantine import Quarantine, Reason
    from osler.ingest.release import Decision
    from osler.ingest.second_look import Terms
    from osler.workspace import Workspace

BURNED_IN = "text in pixels; a release of burned-in-text blanks it unless this says unjudged"
SUMMARY = "list, explain, release, re-check or discard refused files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler quarantine`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list refused files by hash, code, severity, site and age")
    _add_choice(listing)
    listing.add_argument("--severity", choices=("refuse", "quarantine"), help="only those of this severity")
    listing.add_argument("--days", type=float, metavar="N", help="only those first received at least N days ago")
    listing.add_argument("--counts", action="store_true", help="only count them by code, severity and site")
    showing = actions.add_parser("show", help="show why one file was refused")
    explaining = actions.add_parser("explain", help="explain a code, or all of them")
    explaining.add_argument("code", nargs="?", help="a code such as not-dicom")
    explaining.add_argument("--markdown", action="store_true", help="as the tables of docs/ingestion.md")
    releasing = actions.add_parser("release", help="let a quarantined file in, on a person's word")
    _add_pipeline(releasing, workers=1)
    rechecking = actions.add_parser("recheck", help="judge quarantined files again after a contract changed")
    _add_choice(rechecking)
    _add_pipeline(rechecking, workers=2)
    rechecking.add_argument("--refused-by", metavar="NAME", help="only those that the contract of this name refused")
    discarding = actions.add_parser("discard", help="delete a quarantined file for good")
    for action in (showing, releasing, discarding):
        action.add_argument("file", help="first digits of the file's hash")
    for action in (releasing, discarding):
        action.add_argument("--actor", required=True, metavar="NAME", help="who decides, for the audit log")
        action.add_argument("--reason", required=True, metavar="TEXT", help="why; nothing that names a patient")
    for action in (listing, showing, explaining, releasing, rechecking, discarding):
        add_workspace(action)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--code", help="only those with this code")
    parser.add_argument("--site", help="only those of this site")


def _add_pipeline(parser: argparse.ArgumentParser, workers: int) -> None:
    parser.add_argument("--contract", metavar="NAME", help="judge by this contract (default: the one that refused)")
    parser.add_argument("--key-file", type=Path, help="key of the pseudonyms (default: $OSLER_KEY_FILE)")
    parser.add_argument("--workers", type=int, default=workers, help=f"worker processes (default: {workers})")
    group = parser.add_argument_group("de-identification, as given to `osler ingest`")
    group.add_argument("--burned-in", choices=("quarantine", "box", "strict", "unjudged"), help=BURNED_IN)
    group.add_argument(
        "--retain", action="append", default=[], choices=("device-identity", "patient-characteristics", "safe-private")
    )
    add_crosswalk(group, required=False)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    actions = {
        "list": _list,
        "show": _show,
        "explain": _explain,
        "release": _release,
        "recheck": _recheck,
        "discard": _discard,
    }
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> CommandResult:
    before = None if arguments.days is None else datetime.now(UTC) - timedelta(days=arguments.days)
    chosen = [
        reason
        for reason in _quarantine(arguments)
        if arguments.code in (None, reason.code)
        and arguments.site in (None, reason.site)
        and arguments.severity in (None, reason.severity)
        and (before is None or (reason.first_seen and datetime.fromisoformat(reason.first_seen) <= before))
    ]
    counts = Counter((reason.code, reason.severity, reason.site) for reason in chosen)
    counted = [
        {"code": code, "severity": severity, "site": site, "files": number}
        for (code, severity, site), number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    if arguments.counts:
        lines = ["{files:7d}  {code:28s}  {severity:10s}  {site}".format_map(row) for row in counted]
        return CommandResult({"counts": counted}, lines or ["No such file is in the quarantine."])
    kept = ("sha256", "code", "severity", "site", "contract", "first_seen", "last_seen", "times")
    files = [{name: value for name, value in asdict(reason).items() if name in kept} for reason in chosen]
    lines = [_line(reason) for reason in chosen]
    return CommandResult({"files": files, "counts": counted}, lines or ["No such file is in the quarantine."])


def _line(reason: Reason) -> str:
    seen = f"{reason.first_seen[:10] or 'unknown':10s}  {reason.times}x"
    return f"{reason.sha256[:12]}  {seen}  {reason.severity:10s}  {reason.code:28s}  {reason.site}"


def _show(arguments: argparse.Namespace) -> CommandResult:
    quarantine = _quarantine(arguments)
    reason = quarantine.reason(arguments.file)
    path = quarantine.file(reason.sha256) if reason.kept else None
    lines = [f"{name}: {value}" for name, value in asdict(reason).items() if value not in ("", ())]
    payload = asdict(reason) | {"releasable": reason.releasable, "file": path and str(path)}
    told = "a person may release it" if reason.releasable else "it cannot be released"
    return CommandResult(payload, [*lines, told, f"file: {path or 'could not be read, so it was not kept'}"])


def _explain(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive.explanations import as_markdown, explain_all
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    known = explain_all()
    if arguments.code is not None and arguments.code not in known:
        raise OslerError(Code.USAGE, f"There is no refusal code {arguments.code}.", f"Known: {', '.join(known)}.")
    chosen = known if arguments.code is None else {arguments.code: known[arguments.code]}
    payload = {code: [asdict(rule) for rule in rules] for code, rules in chosen.items()}
    if arguments.markdown:
        return CommandResult(payload, as_markdown().splitlines())
    return CommandResult(payload, [_told(rule) for rules in chosen.values() for rule in rules])


def _told(rule: Explanation) -> str:
    contracts = f"; {', '.join(rule.contracts)}" if rule.contracts else ""
    return f"{rule.code} ({rule.severity}; {rule.clause}{contracts}): {rule.meaning} {rule.mend}".strip()


def _release(arguments: argparse.Namespace) -> CommandResult:
    from osler.ingest.release import release
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    terms = _terms(arguments, workspace)
    return _decided(release(workspace, arguments.file, actor=arguments.actor, reason=arguments.reason, terms=terms))


def _discard(arguments: argparse.Namespace) -> CommandResult:
    from osler.ingest.release import discard
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    return _decided(discard(workspace, arguments.file, actor=arguments.actor, reason=arguments.reason))


def _decided(decision: Decision) -> CommandResult:
    came = f"{decision.outcome} ({decision.code})" if decision.code else decision.outcome
    line = f"{decision.sha256[:12]}  {decision.before} -> {came}{', before this already' if decision.again else ''}"
    return CommandResult(asdict(decision), [line], refused=int(decision.outcome == "quarantined"))


def _recheck(arguments: argparse.Namespace) -> CommandResult:
    from osler.ingest.second_look import recheck
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    found = recheck(
        workspace,
        _terms(arguments, workspace),
        code=arguments.code,
        site=arguments.site,
        refused_by=arguments.refused_by,
        progress=lambda done: say(f"{done} files judged"),
    )
    moves = [{"before": old, "after": new, "files": count} for (old, new), count in found.moves.most_common()]
    lines = ["{files:7d}  {before} -> {after}".format_map(move) for move in moves]
    lines += [f"{count:7d}  not judged: {why}" for why, count in found.skipped.most_common()]
    payload = {"moves": moves, "skipped": dict(found.skipped)}
    return CommandResult(payload, lines or ["No such file is in the quarantine."])


def _terms(arguments: argparse.Namespace, workspace: Workspace) -> Terms:
    from osler.deid import load_key
    from osler.deid.options import BurnedIn, Option, Profile
    from osler.ingest.second_look import Terms

    key = load_key(arguments.key_file, workspace=workspace.root)
    profile = Profile(BurnedIn(arguments.burned_in or "quarantine"), frozenset(map(Option, arguments.retain)))
    crosswalk = chosen(arguments, workspace, create=True)
    return Terms(key, arguments.contract, max(arguments.workers, 0), profile=profile, crosswalk=crosswalk)


def _quarantine(arguments: argparse.Namespace) -> Quarantine:
    from osler.archive.quarantine import Quarantine
    from osler.workspace import Workspace

    return Quarantine(Workspace.open(arguments.workspace).quarantine)
