"""A person's decision on a quarantined file: letting it in, or throwing it away.

A file on its way out takes the same way in as any other: decoded, de-identified, archived. What a person decides is in the
audit log before it is done, and what came of it after; where the process was killed in between, giving the same command
again finishes it without a second entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from osler import audit
from osler.archive.models import Instance
from osler.archive.quarantine import Quarantine, Reason, is_hash_start
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.database import only_writer, open_database
from osler.deid.options import BurnedIn
from osler.ingest.second_look import Terms, look_again
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import load_contract, shipped_contracts
from osler_contracts.errors import OslerError

RELEASE, DISCARD, OUTCOME = "quarantine.release", "quarantine.discard", "quarantine.outcome"
MAX_REASON = 500
HOLDING = (BurnedIn.QUARANTINE, BurnedIn.STRICT)


@dataclass(frozen=True)
class Decision:
    """What came of a person's decision on one file.

    Attributes:
        sha256: Hash of the file.
        before: Code for which it was quarantined.
        outcome: `accepted`, `duplicate`, `quarantined`, `discarded`, or `gone` where another command was faster.
        code: Code for which it stays, empty where it left.
        again: Whether this had been done before, so that nothing was to do.
    """

    sha256: str
    before: str
    outcome: str
    code: str = ""
    again: bool = False


def release(workspace: Workspace, start: str, *, actor: str, reason: str, terms: Terms) -> Decision:
    """Let a quarantined file in, although a clause of severity `quarantine` speaks against it.

    It stays visible: the instance carries the warning `released` and the codes that had kept it out. Text seen in a file
    that was kept out for its burned-in text is blanked, unless the terms say otherwise.

    Args:
        workspace: Holds the quarantine.
        start: First digits of the file's hash.
        actor: Who decides.
        reason: Why, in a line; no value of a patient.
        terms: How the rest is judged.

    Raises:
        OslerError: `unknown-file`; `not-releasable` for what is refused or was not kept; `usage` for a name or reason
            that is no line; `audit-broken`; and what `ingest` raises.
    """
    actor, reason = _words(actor, reason)
    quarantine = Quarantine(workspace.quarantine)
    if (done := _released_before(workspace, quarantine, start)) is not None:
        _note_outcome(workspace, actor, done)
        return done
    found = quarantine.reason(start)
    if not found.releasable:
        raise _not_releasable(found)
    load_contract(terms.contract or _known_contract(found))  # before anything is written down
    _note_decision(workspace, actor, RELEASE, found, reason)
    waived = frozenset({found.code, *found.also})
    if str(Code.BURNED_IN_TEXT) in waived and terms.profile.burned_in in HOLDING:
        terms = replace(terms, profile=replace(terms.profile, burned_in=BurnedIn.BOX))
    outcome, new = look_again(workspace, found.site, [found], terms, {found.sha256: waived})[found.sha256]
    decision = Decision(found.sha256, found.code, outcome, new if outcome == str(Outcome.QUARANTINED) else "")
    _note_outcome(workspace, actor, decision)
    return decision


def discard(workspace: Workspace, start: str, *, actor: str, reason: str) -> Decision:
    """Delete a quarantined file and its reason; its receipts stay in the index.

    Raises:
        OslerError: `unknown-file`, `usage`, `audit-broken`, `workspace-occupied`.
    """
    actor, reason = _words(actor, reason)
    quarantine = Quarantine(workspace.quarantine)
    with only_writer(workspace, open_database(workspace)):
        found = quarantine.reason(start)
        _note_decision(workspace, actor, DISCARD, found, reason)
        quarantine.release(found.sha256)
        decision = Decision(found.sha256, found.code, "discarded")
        _note_outcome(workspace, actor, decision)
    return decision


def _released_before(workspace: Workspace, quarantine: Quarantine, start: str) -> Decision | None:
    """Return the decision that let a file in, where it has left the quarantine for the archive."""
    if not is_hash_start(start) or quarantine.matching(start):
        return None
    with Session(Archive(workspace).engine) as session:
        rows = session.execute(
            select(Instance.source_sha256, Instance.warnings).where(Instance.source_sha256.startswith(start))
        ).all()
    if len(rows) != 1 or str(Code.RELEASED) not in rows[0][1]:
        return None
    asked = [entry for entry in audit.entries(workspace) if (entry.action, entry.subject) == (RELEASE, rows[0][0])]
    before = asked[-1].details.get("code", "") if asked else ""
    return Decision(rows[0][0], before, str(Outcome.ACCEPTED), again=True)


def _last_entry(workspace: Workspace, sha256: str) -> audit.Entry | None:
    mine = [entry for entry in audit.entries(workspace) if entry.subject == sha256]
    return mine[-1] if mine else None


def _note_decision(workspace: Workspace, actor: str, action: str, found: Reason, reason: str) -> None:
    """Write a decision down, once: a run that was killed after it left it without its outcome."""
    told = {"code": found.code, "site": found.site, "contract": found.contract, "reason": reason}
    also = {"also": " ".join(found.also)} if found.also else {}
    last = _last_entry(workspace, found.sha256)
    if last is None or (last.actor, last.action, last.details) != (actor, action, told | also):
        audit.record(workspace, actor=actor, action=action, subject=found.sha256, details=told | also)


def _note_outcome(workspace: Workspace, actor: str, decision: Decision) -> None:
    last = _last_entry(workspace, decision.sha256)
    if decision.again and (last is None or last.action not in (RELEASE, DISCARD)):
        return
    told = {"outcome": decision.outcome} | ({"code": decision.code} if decision.code else {})
    audit.record(workspace, actor=actor, action=OUTCOME, subject=decision.sha256, details=told)


def _words(actor: str, reason: str) -> tuple[str, str]:
    return audit.check_words(actor, "actor", audit.MAX_ACTOR), audit.check_words(reason, "reason", MAX_REASON)


def _known_contract(found: Reason) -> str:
    if found.contract not in shipped_contracts():
        raise OslerError(
            Code.UNKNOWN_CONTRACT,
            f"The contract {found.contract} that judged the file is not shipped.",
            "Name its file with --contract.",
        )
    return found.contract


def _not_releasable(found: Reason) -> OslerError:
    why = "it cannot enter as it is" if found.kept else "it could not be read, so it was not kept"
    return OslerError(
        Code.NOT_RELEASABLE,
        f"The file was refused ({found.code}): {why}.",
        found.mend or f"See `osler quarantine explain {found.code}`.",
    )
