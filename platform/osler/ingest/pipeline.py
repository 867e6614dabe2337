"""The way of a folder into the archive, batch by batch; each received file gets exactly one outcome."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from sqlalchemy.exc import OperationalError

from osler.archive.keeper import Keeper
from osler.archive.models import Instance, Study
from osler.archive.quarantine import Reason
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.refusals import EXPLANATIONS, refusal
from osler.dicom.views import PROJECTION_MODALITIES
from osler.files import only_writer
from osler.ingest.judge import Verdict, judge
from osler.ingest.labels import StudyNotes, read_labels, scrub
from osler.ingest.sources import list_files
from osler.ingest.summary import IngestSummary
from osler.ingest.tasks import Examined, Job, Prepared, examine, prepare, unread
from osler.ingest.workers import Workers
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import Contract, load_contract
from osler_contracts.errors import OslerError, from_os_error

BATCH = 2000
COMMIT_EVERY = 64

Progress = Callable[[int, int], None]
OnFile = Callable[[Path, Outcome, str], None]


def ingest(
    source: Path,
    *,
    site: str,
    workspace: Workspace,
    contract: str = "chest-radiograph",
    key: bytes,
    workers: int = 2,
    labels: Path | None = None,
    progress: Progress | None = None,
    on_file: OnFile | None = None,
    today: date | None = None,
) -> IngestSummary:
    """Take every file of a source into the archive or the quarantine.

    A content that the archive holds already is a duplicate; one that was refused before is judged afresh. The source is
    never changed, so that a run that was killed is made good by running it again.

    Args:
        source: A folder, or a single file.
        site: Name of the hospital that the files come from.
        workspace: Where they go.
        contract: Name of a shipped contract, or path of one.
        key: Key of the pseudonyms, from `osler.deid.load_key`.
        workers: Worker processes; 0 works in this process.
        labels: Table of labels and reports by original study UID, see `osler.ingest.labels`.
        progress: Called with the number of files done and of all files.
        on_file: Called with each file's path, outcome and code; meant for checks, since paths may name patients.
        today: The day by which dates are judged; the current one where it is left out.

    Raises:
        OslerError: `source-missing`, `empty-source`, `unknown-contract`, `table-invalid`, `key-invalid`,
            `workspace-occupied` or `disk-full`.
    """
    agreed = load_contract(contract)
    pseudonymizer = Pseudonymizer(key)
    notes = read_labels(labels) if labels else {}
    with only_writer(workspace.archive):
        files = list_files(source, exclude=(workspace.archive, workspace.quarantine))
        version = f"{agreed.name} {agreed.version}"
        keeper = Keeper(Archive(workspace), site=site, contract=version, fingerprint=pseudonymizer.fingerprint())
        try:
            with Workers(workers) as pool:
                run = _Run(keeper, pool, agreed, site, key, today or date.today(), notes, on_file)
                for start in range(0, len(files), BATCH):
                    for done in run.batch(files[start : start + BATCH]):
                        if progress:
                            progress(start + done, len(files))
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


class _Run:
    """State of one run."""

    def __init__(
        self,
        keeper: Keeper,
        pool: Workers,
        contract: Contract,
        site: str,
        key: bytes,
        today: date,
        notes: Mapping[str, StudyNotes],
        on_file: OnFile | None,
    ) -> None:
        self._keeper = keeper
        self._pool = pool
        self._contract = contract
        self._site = site
        self._key = key
        self._today = today
        self._notes = notes
        self._on_file = on_file
        self._identifiers: dict[str, frozenset[str]] = {}
        self.summary = IngestSummary()

    def batch(self, files: Sequence[Path]) -> Iterator[int]:
        """Settle a batch of files in their order, and yield how many are done."""
        examined = list(self._pool.map(examine, files, _died_at_header))
        self._remember(examined)
        held = {item.sha256 for item in examined if self._keeper.archived(item.sha256)}
        fresh = {item.sha256: item for item in reversed(examined) if item.sha256 not in held}
        verdicts = judge(fresh.values(), self._contract, self._today)
        passed = [
            sha256 for sha256 in dict.fromkeys(item.sha256 for item in examined) if _may_enter(verdicts.get(sha256))
        ]
        answers = self._pool.map(prepare, [self._job(fresh[sha256]) for sha256 in passed], _died_at_pixels)
        refused: dict[str, OslerError] = {}
        for done, item in enumerate(examined, 1):
            verdict = verdicts.get(item.sha256)
            if item.sha256 in held:
                self._settle(item, Outcome.DUPLICATE, Code.DUPLICATE, EXPLANATIONS[Code.DUPLICATE][0])
            elif item.refused is not None or item.sha256 in refused:
                self._refuse(item, item.refused or refused[item.sha256])
            elif verdict is not None and verdict.code is not None:
                self._refuse(item, OslerError(Code(verdict.code), " ".join(verdict.sentences), ""), verdict.also)
            elif (error := self._enter(item, verdict, next(answers))) is None:
                held.add(item.sha256)
            else:
                refused[item.sha256] = error
                self._refuse(item, error)
            if done % COMMIT_EVERY == 0 or done == len(examined):
                self._keeper.commit()
                yield done

    def describe(self, pseudonymizer: Pseudonymizer) -> None:
        """Store labels and reports of the studies that this run has seen a file of, reports without identifiers."""
        for study, note in self._notes.items():
            identifiers = self._identifiers.get(study)
            report = note.report and scrub(note.report, identifiers or frozenset())
            uid = pseudonymizer.uid(study)
            matched = identifiers is not None and self._keeper.describe(uid, note.labels, report)
            self.summary.labelled += matched
            self.summary.unmatched += not matched

    def _remember(self, examined: Iterable[Examined]) -> None:
        """Keep in memory what identifies the patients of studies with notes, duplicates too."""
        for item in examined:
            if item.header is not None and (study := str(item.header.row["study_instance_uid"])) in self._notes:
                self._identifiers[study] = self._identifiers.get(study, frozenset()) | item.header.identifiers

    def _job(self, item: Examined) -> Job:
        return Job(item.path, item.sha256, self._waiting(item), self._key, self._site)

    def _waiting(self, item: Examined) -> Path:
        return self._keeper.waiting / f"{item.sha256}.dcm"

    def _enter(self, item: Examined, verdict: Verdict | None, answer: Prepared | OslerError) -> OslerError | None:
        """Archive a prepared file, or return why not."""
        if isinstance(answer, OslerError):
            return answer
        if self._keeper.content_of(answer.uid) not in (None, item.sha256):
            self._waiting(item).unlink()
            return refusal(Code.CONFLICTING_DUPLICATE)
        warnings = list(verdict.warnings if verdict else ())
        if not answer.view and not answer.eligible_frontal and answer.modality in PROJECTION_MODALITIES:
            warnings = sorted({*warnings, str(Code.VIEW_UNKNOWN)})
        study = Study(uid=answer.study_uid, site=self._site, patient=answer.patient, study_date=answer.study_date)
        self._keeper.accept(_instance(answer, item.sha256, warnings), study, self._waiting(item))
        self._keeper.archive.quarantine.release(item.sha256)
        self.summary.eligible_frontal += answer.eligible_frontal
        self.summary.warnings.update(warnings)
        self._settle(item, Outcome.ACCEPTED, "", "")
        return None

    def _refuse(self, item: Examined, error: OslerError, also: tuple[str, ...] = ()) -> None:
        """Keep a refused file in the quarantine with its reason."""
        reason = Reason(
            sha256=item.sha256,
            code=str(error.code),
            detail=error.message,
            also=also,
            mend=error.mend,
            site=self._site,
            contract=self._contract.name,
            kept=item.readable,
        )
        try:
            self._keeper.archive.quarantine.put(reason, item.path if item.readable else None)
        except OSError as failure:
            raise from_os_error(failure) from None
        self._settle(item, Outcome.QUARANTINED, str(error.code), error.message)

    def _settle(self, item: Examined, outcome: Outcome, code: str, detail: str) -> None:
        self._keeper.note(item.sha256, outcome, str(code), detail)
        self.summary.count(outcome, str(code))
        if self._on_file:
            self._on_file(item.path, outcome, str(code))


def _may_enter(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.code is None


def _instance(answer: Prepared, source_sha256: str, warnings: list[str]) -> Instance:
    values = {name: value for name, value in vars(answer).items() if name in Instance.__table__.columns}
    return Instance(**values, source_sha256=source_sha256, warnings=warnings)


def _died_at_header(path: Path) -> Examined:
    return replace(
        unread(path), refused=refusal(Code.UNREADABLE, "Reading the file's header ended the process that did it.")
    )


def _died_at_pixels(job: Job) -> OslerError:
    return refusal(Code.PIXELS_UNDECODABLE, "Decoding the pixel data ended the process that did it.")
