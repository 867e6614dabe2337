"""The way of a source into the archive, batch by batch; each received file gets exactly one outcome."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import OperationalError

from osler.archive.keeper import Keeper
from osler.archive.models import Instance, Study
from osler.archive.quarantine import Reason
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.database import only_writer, open_database
from osler.deid.crosswalk import Crosswalk
from osler.deid.links import Link
from osler.deid.options import BASIC, Profile
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.refusals import refusal
from osler.dicom.views import PROJECTION_MODALITIES
from osler.engine import Engine, EngineChoice, Limits
from osler.ingest.judge import Verdict, judge, severity_of
from osler.ingest.labels import StudyNotes, read_labels, scrub
from osler.ingest.source import Arrival, Source
from osler.ingest.sources import FolderSource
from osler.ingest.summary import IngestSummary
from osler.ingest.tasks import Examined, Job, Prepared, examine, prepare, unread
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import Contract, Severity, load_contract
from osler_contracts.errors import OslerError, from_os_error

BATCH = 2000  # the contract costs a second a batch and next to nothing a file
COMMIT_EVERY = 125

Progress = Callable[[int, int | None], None]
OnFile = Callable[[Path, Outcome, str], None]


def ingest(
    source: Path | Source,
    *,
    site: str,
    workspace: Workspace,
    contract: str = "chest-radiograph",
    key: bytes,
    workers: int = 2,
    limits: Limits | None = None,
    labels: Path | None = None,
    progress: Progress | None = None,
    on_file: OnFile | None = None,
    today: date | None = None,
    second_look: SecondLook | None = None,
    profile: Profile = BASIC,
    crosswalk: Crosswalk | None = None,
    engine: EngineChoice | None = None,
) -> IngestSummary:
    """Take every file of a source into the archive or the quarantine.

    A content that the archive holds already is a duplicate; one that was refused before is judged afresh. The source is
    never changed, so that a run that was killed is made good by running it again.

    Args:
        source: A folder, a single file, or an open stream of arrivals.
        site: Name of the hospital that the files come from.
        workspace: Where they go.
        contract: Name of a shipped contract, or path of one.
        key: Key of the pseudonyms, from `osler.deid.load_key`.
        workers: Worker processes; 0 works in this process, without limits.
        limits: Time and memory that one file may take in a worker process.
        labels: Table of labels and reports by original study UID, see `osler.ingest.labels`.
        progress: Called with the number of files done and of all files, None where nobody knows it yet.
        on_file: Called with each file's path, outcome and code; meant for checks, since paths may name patients.
        today: The day by which dates are judged; the current one where it is left out.
        profile: Options of de-identification, and what to do about burned-in text.
        crosswalk: Where originals are kept against pseudonyms; none in research.
        second_look: Given where the source is the workspace's own quarantine: its files are not received once more.
        engine: Where the work is done, in place of `workers` of this machine. Nodes of a cluster see source and workspace
            under the same paths; the index is written here alone.

    Raises:
        OslerError: `source-missing`, `empty-source`, `unknown-contract`, `table-invalid`, `key-invalid`,
            `workspace-occupied` or `disk-full`.
    """
    agreed = load_contract(contract)
    pseudonymizer = Pseudonymizer(key)
    notes = read_labels(labels) if labels else {}
    terms = _Terms(agreed, site, key, today or date.today(), notes, profile, crosswalk, second_look, on_file)
    own = (workspace.root, workspace.archive, workspace.quarantine)
    with only_writer(workspace, open_database(workspace)):
        arrivals = FolderSource(source, exclude=own) if isinstance(source, Path) else source
        version = f"{agreed.name} {agreed.version}"
        keeper = Keeper(Archive(workspace), site=site, contract=version, fingerprint=pseudonymizer.fingerprint())
        try:
            chosen = engine or EngineChoice(workers=workers)
            with arrivals, chosen.open(limits, [examine.__module__], folders=[workspace.root]) as pool:
                run = _Run(keeper, pool, terms)
                for done in run.take(arrivals):
                    if progress:
                        progress(done, arrivals.total)
            run.describe(pseudonymizer)
            keeper.finish()
            return run.summary
        except OperationalError as error:
            raise _index_error(error) from None
        finally:
            keeper.close()


def _index_error(error: OperationalError) -> OslerError:
    """Tell a full disk from other failures of the index, whose text may quote values."""
    if "full" in str(error.orig):
        return from_os_error(OSError(errno.ENOSPC, ""))
    return OslerError(
        Code.WORKSPACE_INVALID, "The index cannot be written.", "Check the workspace's disk and permissions."
    )


@dataclass(frozen=True)
class _Terms:
    """What holds for every file of a run."""

    contract: Contract
    site: str
    key: bytes
    today: date
    notes: Mapping[str, StudyNotes]
    profile: Profile
    crosswalk: Crosswalk | None
    second_look: SecondLook | None
    on_file: OnFile | None


class _Run:
    """State of one run."""

    def __init__(self, keeper: Keeper, pool: Engine, terms: _Terms) -> None:
        self._keeper = keeper
        self._pool = pool
        self._terms = terms
        self._entered: list[str] = []
        self._identifiers: dict[str, frozenset[str]] = {}
        self._links: list[Link] = []
        self.summary = IngestSummary()

    def take(self, source: Source) -> Iterator[int]:
        """Settle every arrival in its order, and yield how many are done.

        The next batch is examined while this one's pixels are; no more than two are in memory.
        """
        arrivals = iter(source)
        done = 0
        batch = self._draw(arrivals)
        while batch.arrivals:
            decided = self._decide(batch)
            ahead = None if batch.arrivals[-1].last_for_now else self._draw(arrivals)
            settled = 0
            for number in self._settle_all(decided):
                source.settled(batch.arrivals[settled:number])
                settled = number
                yield done + number
            done += settled
            batch = ahead or self._draw(arrivals)

    def _draw(self, arrivals: Iterator[Arrival]) -> _Batch:
        """Take arrivals from the source and have them examined."""
        drawn: list[Arrival] = []
        for arrival in islice(arrivals, BATCH):
            drawn.append(arrival)
            if arrival.last_for_now:
                break
        trusted = [arrival.path for arrival in drawn if arrival.refused is None]
        return _Batch(drawn, self._pool.map(examine, trusted, _lost_at_header))

    def _decide(self, batch: _Batch) -> _Decided:
        """Judge a batch by its headers, and have prepared what may enter."""
        examined = [
            next(batch.answers) if arrival.refused is None else replace(unread(arrival.path), refused=arrival.refused)
            for arrival in batch.arrivals
        ]
        if self._terms.second_look:
            # A file of the quarantine bears its hash, also where a worker was lost before it could say it.
            examined = [replace(item, sha256=item.path.stem, readable=True) for item in examined]
        self._remember(examined)
        held = self._keeper.archived(item.sha256 for item in examined)
        fresh = {item.sha256: item for item in reversed(examined) if item.sha256 not in held}
        verdicts = judge(fresh.values(), self._terms.contract, self._terms.today)
        if self._terms.second_look:
            released = self._terms.second_look.released
            verdicts |= {sha256: verdicts[sha256].waived(released[sha256]) for sha256 in released.keys() & verdicts}
        passed = [
            sha256 for sha256 in dict.fromkeys(item.sha256 for item in examined) if _may_enter(verdicts.get(sha256))
        ]
        jobs = [self._job(fresh[sha256]) for sha256 in passed]
        return _Decided(examined, held, verdicts, self._pool.map(prepare, jobs, _lost_at_pixels))

    def _settle_all(self, batch: _Decided) -> Iterator[int]:
        """Give every file of a batch its outcome; yield the number of those whose outcome is on the disk."""
        held = batch.held
        refused: dict[str, OslerError] = {}
        for done, item in enumerate(batch.examined, 1):
            verdict = batch.verdicts.get(item.sha256)
            if item.sha256 in held:
                self._settle(item, Outcome.DUPLICATE)
            elif item.refused is not None or item.sha256 in refused:
                self._refuse(item, item.refused or refused[item.sha256])
            elif verdict is not None and verdict.code is not None:
                error = OslerError(Code(verdict.code), " ".join(verdict.sentences), "")
                self._refuse(item, error, verdict.also, verdict.severity)
            elif (objection := self._enter(item, verdict, next(batch.answers))) is None:
                held.add(item.sha256)
            else:
                refused[item.sha256] = objection
                self._refuse(item, objection)
            if done % COMMIT_EVERY == 0 or done == len(batch.examined):
                self._link()
                self._keeper.commit()
                self._leave_quarantine()
                yield done

    def _link(self) -> None:
        """Add to the crosswalk what is about to be committed: no pseudonym enters the index that it does not know."""
        if self._terms.crosswalk is not None and self._links:
            self._terms.crosswalk.add(self._links)
            self._links.clear()

    def _leave_quarantine(self) -> None:
        """Forget quarantined files that the archive holds; not before it surely does, since they may be the last copy."""
        for sha256 in self._entered:
            self._keeper.archive.quarantine.release(sha256)
        self._entered.clear()

    def describe(self, pseudonymizer: Pseudonymizer) -> None:
        """Store labels and reports of the studies that this run has seen a file of, reports without identifiers."""
        for study, note in self._terms.notes.items():
            identifiers = self._identifiers.get(study)
            report = note.report and scrub(note.report, identifiers or frozenset())
            uid = pseudonymizer.uid(study)
            matched = identifiers is not None and self._keeper.describe(uid, note.labels, report)
            self.summary.labelled += matched
            self.summary.unmatched += not matched

    def _remember(self, examined: Iterable[Examined]) -> None:
        """Keep in memory what identifies the patients of studies with notes, duplicates too."""
        for item in examined:
            if item.header is not None and (study := str(item.header.row["study_instance_uid"])) in self._terms.notes:
                self._identifiers[study] = self._identifiers.get(study, frozenset()) | item.header.identifiers

    def _job(self, item: Examined) -> Job:
        linked = self._terms.crosswalk is not None
        return Job(
            item.path, item.sha256, self._waiting(item), self._terms.key, self._terms.site, self._terms.profile, linked
        )

    def _waiting(self, item: Examined) -> Path:
        return self._keeper.waiting / f"{item.sha256}.dcm"

    def _enter(self, item: Examined, verdict: Verdict | None, answer: Prepared | OslerError) -> OslerError | None:
        """Archive a prepared file, or return why not.

        Another content with the same SOP Instance UID is a duplicate where it comes to the same de-identified object:
        an archive that sends a file on writes its file meta anew.
        """
        if isinstance(answer, OslerError):
            return answer
        known = self._keeper.known(answer.uid)
        if known is not None and known.source_sha256 != item.sha256:
            self._waiting(item).unlink()
            if known.sha256 != answer.sha256:
                return refusal(Code.CONFLICTING_DUPLICATE)
            self._settle(item, Outcome.DUPLICATE)
            return None
        if (other := self._other_patient(item, answer)) is not None:
            self._waiting(item).unlink()
            return other
        warnings = list(verdict.warnings if verdict else ())
        if not answer.view and not answer.eligible_frontal and answer.modality in PROJECTION_MODALITIES:
            warnings = sorted({*warnings, str(Code.VIEW_UNKNOWN)})
        if not answer.pixels_judged:
            warnings = sorted({*warnings, str(Code.BURNED_IN_UNKNOWN)})
        self._links += answer.links
        study = Study(uid=answer.study_uid, site=self._terms.site, patient=answer.patient, study_date=answer.study_date)
        self._keeper.accept(_instance(answer, item.sha256, warnings), study, self._waiting(item))
        self.summary.eligible_frontal += answer.eligible_frontal
        self.summary.warnings.update(warnings)
        self._settle(item, Outcome.ACCEPTED)
        return None

    def _other_patient(self, item: Examined, answer: Prepared) -> OslerError | None:
        """Return what the contract says where the archive has the study under another patient: a batch cannot see that."""
        clauses = (clause for clause in self._terms.contract.clauses if clause.code is Code.STUDY_OF_TWO_PATIENTS)
        clause = next((clause for clause in clauses if clause.severity is not Severity.WARN), None)
        if clause is None or (self._terms.second_look and item.sha256 in self._terms.second_look.released):
            return None
        if self._keeper.patient_of(answer.study_uid) in (None, answer.patient):
            return None
        return OslerError(clause.code, clause.sentence, "")

    def _refuse(
        self, item: Examined, error: OslerError, also: tuple[str, ...] = (), severity: Severity | None = None
    ) -> None:
        """Keep a refused file in the quarantine with its reason."""
        reason = Reason(
            sha256=item.sha256,
            code=str(error.code),
            detail=error.message,
            also=also,
            mend=error.mend,
            site=self._terms.site,
            contract=self._terms.contract.name,
            kept=item.readable,
            severity=str(severity or severity_of(error.code)),
        )
        try:
            self._keeper.archive.quarantine.put(reason, item.path if item.readable else None)
        except OSError as failure:
            raise from_os_error(failure) from None
        self._settle(item, Outcome.QUARANTINED, error)

    def _settle(self, item: Examined, outcome: Outcome, error: OslerError | None = None) -> None:
        if outcome is Outcome.DUPLICATE:
            error = refusal(Code.DUPLICATE)
        code, detail = (str(error.code), error.message) if error else ("", "")
        say = self._keeper.revise if self._terms.second_look else self._keeper.note
        say(item.sha256, outcome, code, detail)
        if outcome is not Outcome.QUARANTINED:
            self._entered.append(item.sha256)
        self.summary.count(outcome, code)
        if self._terms.on_file:
            self._terms.on_file(item.path, outcome, code)


@dataclass(frozen=True)
class SecondLook:
    """That files of the quarantine are judged again.

    Attributes:
        released: Hashes of those that a person lets in, each with the codes that had kept it out.
    """

    released: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass
class _Batch:
    """Arrivals, and the answers about those that the source trusts, to come."""

    arrivals: Sequence[Arrival]
    answers: Iterator[Examined]


@dataclass
class _Decided:
    """A batch after its headers were judged; the answers about those that may enter are to come."""

    examined: Sequence[Examined]
    held: set[str]
    verdicts: Mapping[str, Verdict]
    answers: Iterator[Prepared | OslerError]


def _may_enter(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.code is None


def _instance(answer: Prepared, source_sha256: str, warnings: list[str]) -> Instance:
    values = {name: value for name, value in vars(answer).items() if name in Instance.__table__.columns}
    return Instance(**values, source_sha256=source_sha256, warnings=warnings)


def _lost_at_header(path: Path, error: OslerError) -> Examined:
    return replace(unread(path), refused=error)


def _lost_at_pixels(_job: Job, error: OslerError) -> OslerError:
    return error
