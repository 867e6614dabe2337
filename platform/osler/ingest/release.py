"""Work on the quarantine: letting a file in, judging files again, and throwing one away.

A file on its way out takes the same way in as any other: decoded, de-identified, archived. What a person decides is in the
audit log before it is done, and what came of it after; where the process was killed in between, giving the same command
again finishes it without a second entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from osler import audit
from osler.archive.models import Instance
from osler.archive.quarantine import Quarantine, Reason, is_hash_start
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.files import only_writer
from osler.ingest.pipeline import SecondLook, ingest
from osler.ingest.source import Arrival
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import load_contract, shipped_contracts
from osler_contracts.errors import OslerError

RELEASE, DISCARD, OUTCOME = "quarantine.release", "quarantine.discard", "quarantine.outcome"
MAX_REASON = 500
# What depends on files that came along: judged by itself, each would pass.
UNDECIDABLE = frozenset({str(Code.STUDY_OF_TWO_PATIENTS)})
GONE = "gone"  # another command took the file while this one waited for the archive

Progress = Callable[[int], None]


class QuarantineSource:
    """Files of the quarantine as a source; those that have left it meanwhile do not arrive."""

    def __init__(self, quarantine: Quarantine, sha256s: Sequence[str]) -> None:
        self._quarantine = quarantine
        self._sha256s = sha256s

    @property
    def total(self) -> int:
        return len(self._sha256s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[Arrival]:
        paths = (self._quarantine.file(sha256) for sha256 in self._sha256s)
        return (Arrival(path) for path in paths if path.is_file())

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Do nothing: the pipeline itself forgets what has entered."""


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


@dataclass
class Recheck:
    """What judging again came to: files by their code before and after, `accepted` and `duplicate` included.

    Attributes:
        moves: Number of files by old code and new code or outcome.
        skipped: Files that could not be judged, by the reason in words.
    """

    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> int:
        """Return how many files had an outcome."""
        return sum(number for (_, new), number in self.moves.items() if new == str(outcome))


def release(
    workspace: Workspace, start: str, *, actor: str, reason: str, key: bytes, contract: str | None = None,
    workers: int = 1, today: date | None = None,
) -> Decision:  # fmt: skip
    """Let a quarantined file in, although a clause of severity `quarantine` speaks against it.

    It stays visible: the instance carries the warning `released` and the codes that had kept it out.

    Args:
        workspace: Holds the quarantine.
        start: First digits of the file's hash.
        actor: Who decides.
        reason: Why, in a line; no value of a patient.
        key: Key of the pseudonyms.
        contract: Contract by which the rest is judged; that which judged it before where it is left out.
        workers: Worker processes; 0 decodes in this process, where a crash of a decoder ends it.
        today: The day by which dates are judged.

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
    judged_by = contract or _known_contract(found)
    load_contract(judged_by)  # before anything is written down
    _note_decision(workspace, actor, RELEASE, found, reason)
    waived = {found.sha256: frozenset({found.code, *found.also})}
    looked = _look_again(workspace, found.site, judged_by, key, [found], waived, workers, today)
    outcome, new = looked.get(found.sha256, (GONE, ""))
    decision = Decision(found.sha256, found.code, str(outcome), new if outcome == Outcome.QUARANTINED else "")
    _note_outcome(workspace, actor, decision)
    return decision


def discard(workspace: Workspace, start: str, *, actor: str, reason: str) -> Decision:
    """Delete a quarantined file and its reason; its receipts stay in the index.

    Raises:
        OslerError: `unknown-file`, `usage`, `audit-broken`, `workspace-occupied`.
    """
    actor, reason = _words(actor, reason)
    quarantine = Quarantine(workspace.quarantine)
    with only_writer(workspace.archive):
        found = quarantine.reason(start)
        _note_decision(workspace, actor, DISCARD, found, reason)
        quarantine.release(found.sha256)
        decision = Decision(found.sha256, found.code, "discarded")
        _note_outcome(workspace, actor, decision)
    return decision


def recheck(
    workspace: Workspace, *, key: bytes, code: str | None = None, site: str | None = None, contract: str | None = None,
    refused_by: str | None = None, workers: int = 2, today: date | None = None, progress: Progress | None = None,
) -> Recheck:  # fmt: skip
    """Judge quarantined files again, after a contract changed or a decoder was installed.

    Args:
        workspace: Holds the quarantine.
        key: Key of the pseudonyms.
        code: Only files with this code.
        site: Only files of this site.
        contract: Contract to judge by, name or path; each file's own where it is left out.
        refused_by: Only files that a contract of this name refused; with `contract`, its own name where left out.
        workers: Worker processes.
        today: The day by which dates are judged.
        progress: Called with the number of files done.

    Raises:
        OslerError: As `ingest`.
    """
    if contract is not None and refused_by is None:
        refused_by = load_contract(contract).name
    groups: dict[tuple[str, str], list[Reason]] = {}
    result = Recheck()
    for found in Quarantine(workspace.quarantine):
        chosen = (code or found.code, site or found.site, refused_by or found.contract)
        if chosen != (found.code, found.site, found.contract):
            continue
        if found.code in UNDECIDABLE:
            result.skipped[f"{found.code}: only a person can tell, by release or discard"] += 1
        elif not found.kept:
            result.skipped["not kept, since it could not be read"] += 1
        elif contract is None and found.contract not in shipped_contracts():
            result.skipped[f"judged by {found.contract}, which is not shipped: name its file with --contract"] += 1
        else:
            groups.setdefault((found.site, contract or found.contract), []).append(found)
    for (origin, judged_by), files in groups.items():
        looked = _look_again(workspace, origin, judged_by, key, files, {}, workers, today)
        for before in files:
            outcome, new = looked.get(before.sha256, (GONE, ""))
            result.moves[before.code, new if outcome == Outcome.QUARANTINED else str(outcome)] += 1
        if progress:
            progress(sum(result.moves.values()))
    return result


def _look_again(
    workspace: Workspace, site: str, contract: str, key: bytes, files: Sequence[Reason],
    released: Mapping[str, frozenset[str]], workers: int, today: date | None,
) -> Mapping[str, tuple[Outcome, str]]:  # fmt: skip
    """Send files through the pipeline, and return outcome and code by hash."""
    quarantine = Quarantine(workspace.quarantine)
    outcomes: dict[str, tuple[Outcome, str]] = {}

    def note(path: Path, outcome: Outcome, code: str) -> None:
        outcomes[path.stem] = (outcome, code)

    ingest(
        QuarantineSource(quarantine, [found.sha256 for found in files]),
        site=site,
        workspace=workspace,
        contract=contract,
        key=key,
        workers=workers,
        on_file=note,
        today=today,
        second_look=SecondLook(released),
    )
    lost = [found.sha256 for found in files if found.sha256 not in outcomes]
    for sha256 in _archived(workspace, lost):
        # A run was killed between taking the file out of the quarantine and its reason.
        quarantine.release(sha256)
        outcomes[sha256] = (Outcome.ACCEPTED, "")
    return outcomes


def _archived(workspace: Workspace, sha256s: Sequence[str]) -> list[str]:
    with Session(Archive(workspace).engine) as session:
        query = select(Instance.source_sha256)
        return [found for sha256 in sha256s for found in session.scalars(query.where(Instance.source_sha256 == sha256))]


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
