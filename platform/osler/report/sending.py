"""Sending reports to a PACS under the patients' own names: once, verified, audited, and the twin kept under pseudonyms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from osler import audit
from osler.archive.records import StudyRecord
from osler.deid.crosswalk import Crosswalk
from osler.files import write_atomically
from osler.report.identity import Identity, both
from osler.report.journal import BEGUN, LOST, STORED, Issue
from osler.report.receivers import Receiver
from osler.report.service import Report, Reporter
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

SENT, THERE = "sent", "was there already"
BESIDE = {"none": (), "gsps": ("gsps",), "sc": ("sc",)}


@dataclass(frozen=True)
class Sent:
    """What became of one object: `sent`, or `was there already`."""

    study: str
    format: str
    state: str
    final: bool


@dataclass(frozen=True)
class _Ready:
    """A study's objects, made and waiting."""

    study: StudyRecord
    issue: Issue
    reports: tuple[Report, ...]
    twin: Report


def send_reports(
    reporter: Reporter,
    studies: Sequence[str],
    receiver: Receiver,
    crosswalk: Crosswalk | None,
    *,
    actor: str,
    reason: str,
) -> list[Sent]:
    """Send the reports on studies; every object of all of them is made before the first one leaves.

    Running it again sends nothing that is there already; a report that says something else than the last one is a new
    object that names the one it replaces.

    Raises:
        OslerError: `crosswalk-invalid` without a crosswalk; `unknown-pseudonym`; `unknown-study`, `nothing-eligible`;
            `usage`; `audit-broken`, `disk-full`; `source-...` where the receiver cannot be reached, refuses or fails.
    """
    if crosswalk is None:
        raise OslerError(
            Code.CROSSWALK_INVALID,
            "What goes to a PACS carries the patient's own name, and no crosswalk was named that knows it.",
            "Name it with --crosswalk. A workspace that was filled without one is for research: `osler report make` "
            "writes its reports to files, under pseudonyms.",
        )
    records = [reporter.explainer.archive.study(uid) for uid in dict.fromkeys(studies)]
    named = [(study, *both(study, crosswalk, actor=actor, reason=reason)) for study in records]
    waiting = [_prepare(reporter, receiver, *one) for one in named]
    return [sent for ready in waiting for sent in _send(reporter, receiver, ready, actor, reason)]


def _prepare(
    reporter: Reporter, receiver: Receiver, study: StudyRecord, original: Identity, archived: Identity
) -> _Ready:
    content = reporter.content(study.uid)
    _settle(reporter, receiver, study.uid, content.digest, original)
    issue = reporter.issue(content, receiver.name)
    formats = ("sr", *BESIDE[reporter.settings.presentation])
    reports = tuple(reporter.build(content, one, original, issue) for one in formats)
    # The SR goes last: where it is, all is.
    return _Ready(study, issue, reports[::-1], reporter.build(content, "sr", archived, issue))


def _settle(reporter: Reporter, receiver: Receiver, study: str, digest: str, original: Identity) -> None:
    """Find out what became of a report that an earlier run had begun to send and that says something else by now."""
    chain = reporter.journal.chain(study, receiver.name)
    if not chain or chain[-1].state != BEGUN or chain[-1].digest == digest:
        return
    there = receiver.has(reporter.trace(chain[-1], original))
    reporter.journal.note(chain[-1], STORED if there else LOST)


def _send(reporter: Reporter, receiver: Receiver, ready: _Ready, actor: str, reason: str) -> list[Sent]:
    missing = [report for report in ready.reports if not receiver.holds(report)]
    if missing:
        # Journal and audit first: what left is known even if nobody is there any more to say that it arrived.
        if ready.issue.state != STORED:
            reporter.journal.note(ready.issue, BEGUN)
        details = {"to": receiver.name, "reason": reason, "objects": str(len(missing)), "digest": ready.issue.digest}
        audit.record(
            reporter.explainer.workspace, actor=actor, action="report.send", subject=ready.study.uid, details=details
        )
        receiver.store(missing)
        if lost := [report for report in missing if not receiver.holds(report)]:
            raise OslerError(
                Code.SOURCE_FAILED,
                f"After sending, the receiver does not have {len(lost)} of {len(missing)} objects.",
                "Look into its log, and run the same command again: what it holds is not sent twice.",
            )
    # Before the journal says so: a run that is killed here tells it again, and none leaves the log without an arrival.
    if missing or ready.issue.state == BEGUN:
        audit.record(
            reporter.explainer.workspace,
            actor=actor,
            action="report.sent",
            subject=ready.study.uid,
            details={
                "to": receiver.name,
                "objects": str(len(missing or ready.reports)),
                "digest": ready.issue.digest,
            },
        )
    if ready.issue.state != STORED:
        reporter.journal.note(ready.issue, STORED)
    _keep_twin(reporter, ready)
    return [
        Sent(ready.study.uid, report.format, SENT if report in missing else THERE, ready.issue.final)
        for report in ready.reports
    ]


def _keep_twin(reporter: Reporter, ready: _Ready) -> None:
    """Keep the same report under the archive's pseudonyms, in the workspace."""
    folder = reporter.explainer.workspace.reports / ready.study.uid[-2:] / ready.study.uid
    path = folder / f"{ready.twin.sop_uid}.dcm"
    try:
        if not path.is_file():
            write_atomically(path, ready.twin.data)
    except OSError as error:
        raise from_os_error(error) from None
