"""Taking studies out again, with every trace: at a patient's wish, or because their time is over.

Traces go first, then objects, and the rows of the index last: a run that was killed finds them again and completes when
it is run once more. The audit log keeps its entries, which name pseudonyms.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from osler import audit
from osler.archive.models import Instance, Intake, Label, Report, Run, Study
from osler.archive.records import StudyRecord
from osler.archive.store import Archive
from osler.deid.basic_profile import patient_key
from osler.deid.crosswalk import Crosswalk
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.refusals import attempt
from osler.feedback import FILE as REVIEWS
from osler.files import only_writer, write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DELETED = "[deleted]"
REDACTED = b'{"redacted":true}'
NO_CONTENT = "0" * 64  # in place of the hash of a deleted content, so that accounts of what was received still add up
TEXT_SUFFIXES = frozenset({".csv", ".html", ".json", ".jsonl", ".md", ".txt", ".yaml", ".yml"})


@dataclass
class Removed:
    """How much was taken out, by kind."""

    studies: int = 0
    objects: int = 0
    quarantined: int = 0
    reviews: int = 0
    artifacts: int = 0
    crosswalk: int = 0


def delete_patient(
    archive: Archive,
    patient: str,
    *,
    actor: str,
    reason: str,
    pseudonymizer: Pseudonymizer,
    crosswalk: Crosswalk | None = None,
) -> Removed:
    """Remove all that the workspace, and the crosswalk if given, hold of a patient, the quarantine included.

    Args:
        archive: The archive.
        patient: The patient's pseudonym.
        actor: Who does it.
        reason: Why.
        pseudonymizer: With the archive's key: it tells which quarantined files are the patient's.
        crosswalk: Loses the patient's records.

    Raises:
        OslerError: `unknown-patient`; `usage` without a name and a reason; `workspace-occupied`.
    """
    with only_writer(archive.workspace.archive):
        studies = [study for study in archive.studies() if study.patient == patient]
        waiting = _quarantined(archive, patient, pseudonymizer)
        if not studies and not waiting:
            raise OslerError(
                Code.UNKNOWN_PATIENT, "The archive has no such patient.", "See `osler archive list` for those it has."
            )
        _audit(archive.workspace, actor, "archive.delete", patient, reason)
        removed = _remove(archive, studies, [patient])
        for sha256 in waiting:
            archive.quarantine.release(sha256)
            removed.quarantined += 1
        removed.crosswalk = crosswalk.forget(patient) if crosswalk else 0
        _forget_rows(archive, studies)
        _audit(archive.workspace, actor, "archive.deleted", patient, reason, removed)
        return removed


def retain(
    archive: Archive,
    *,
    older_than_days: int,
    site: str | None = None,
    actor: str,
    reason: str,
    crosswalk: Crosswalk | None = None,
    now: datetime | None = None,
) -> Removed:
    """Remove studies of which nothing has arrived for so many days, and quarantined files that have waited as long.

    Patients of whom no study is left lose their records in the crosswalk too.

    Raises:
        OslerError: As `delete_patient`, but for unknown patients.
    """
    if older_than_days < 1:
        raise OslerError(Code.USAGE, "The time to keep studies is below a day.", "Give --older-than 1 or more.")
    before = (now or datetime.now(UTC)) - timedelta(days=older_than_days)
    with only_writer(archive.workspace.archive):
        last = _last_arrivals(archive)
        every = archive.studies()
        limit = before.isoformat(timespec="seconds")
        old = [study for study in every if site in (None, study.site) and last.get(study.uid, "") < limit]
        kept = {study.patient for study in every if study not in old}
        gone = {study.patient for study in old} - kept
        _audit(archive.workspace, actor, "archive.retain", f"older than {older_than_days} days", reason)
        removed = _remove(archive, old, sorted(gone))
        for reason_of in archive.quarantine.reasons():
            path = archive.quarantine.file(reason_of.sha256)
            aged = path.exists() and path.stat().st_mtime < before.timestamp()
            if aged and site in (None, reason_of.site):
                archive.quarantine.release(reason_of.sha256)
                removed.quarantined += 1
        removed.crosswalk = sum(crosswalk.forget(patient) for patient in sorted(gone)) if crosswalk else 0
        _forget_rows(archive, old)
        _audit(archive.workspace, actor, "archive.retained", f"older than {older_than_days} days", reason, removed)
        return removed


def _audit(
    workspace: Workspace, actor: str, action: str, subject: str, reason: str, removed: Removed | None = None
) -> None:
    counts = {name: str(number) for name, number in asdict(removed).items()} if removed else {}
    if not reason.strip():
        raise OslerError(Code.USAGE, "A deletion needs a reason.", "Say why with --reason.")
    audit.record(workspace, actor=actor, action=action, subject=subject, details={"reason": reason} | counts)


def _remove(archive: Archive, studies: Sequence[StudyRecord], patients: Sequence[str]) -> Removed:
    """Remove traces and objects of studies; their rows stay."""
    workspace, removed = archive.workspace, Removed(studies=len(studies))
    uids = [uid for study in studies for uid in (study.uid, *(instance.uid for instance in study.instances))]
    names = [*uids, *patients]
    removed.reviews = _redact_reviews(workspace.feedback / REVIEWS, names)
    removed.artifacts = _redact_texts(workspace, names) + _redact_database(workspace.root / "mlflow.db", names)
    if studies:
        # A feature's file is named by a hash that does not lead back to its study; all of them can be made again.
        # What `osler drift` read of an object is named by the object's own hash, which does.
        for name in ("features", "drift"):
            shutil.rmtree(workspace.cache / name, ignore_errors=True)
    for study in studies:
        for instance in study.instances:
            instance.path.unlink(missing_ok=True)
            removed.objects += 1
        for folder in {instance.path.parent for instance in study.instances}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return removed


def _quarantined(archive: Archive, patient: str, pseudonymizer: Pseudonymizer) -> list[str]:
    """Return the hashes of quarantined files whose header names the patient; a file without one names nobody."""
    found = []
    for reason in archive.quarantine.reasons():
        path = archive.quarantine.file(reason.sha256)
        whose = attempt(lambda path=path, site=reason.site: _patient_of(path, site, pseudonymizer), None)  # type: ignore[misc]
        if whose == patient:
            found.append(reason.sha256)
    return found


def _patient_of(path: Path, site: str, pseudonymizer: Pseudonymizer) -> str:
    return pseudonymizer.patient(*patient_key(dcmread(path, stop_before_pixels=True), site))


def _last_arrivals(archive: Archive) -> dict[str, str]:
    """Return when the run began in which something of each study arrived last."""
    query = (
        select(Instance.study_uid, func.max(Run.started))
        .join(Intake, Intake.source_sha256 == Instance.source_sha256)
        .join(Run, Run.id == Intake.run_id)
        .group_by(Instance.study_uid)
    )
    with Session(archive.engine) as session:
        return {str(uid): str(started) for uid, started in session.execute(query)}


def _redact_reviews(path: Path, names: Iterable[str]) -> int:
    """Overwrite lines that name a study by an entry of the same length: readers and writers may have the file open."""
    wanted = [name.encode() for name in names]
    if not path.exists() or not wanted:
        return 0
    count = 0
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        start = 0
        for line in stream.read().splitlines(keepends=True):
            if any(name in line for name in wanted):
                stream.seek(start)
                stream.write(REDACTED.ljust(len(line.rstrip(b"\n"))))
                count += 1
            start += len(line)
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _redact_texts(workspace: Workspace, names: Sequence[str]) -> int:
    """Blank the names in artifacts, patches, calibrations, reports of drift and summaries."""
    count = 0
    folders = (workspace.artifacts, workspace.patches, workspace.calibrations, workspace.drift)
    kept = [workspace.summary, *(path for folder in folders for path in folder.rglob("*"))]
    for path in kept:
        if path.suffix not in TEXT_SUFFIXES or not path.is_file():
            continue
        content = before = path.read_bytes()
        for name in names:
            content = content.replace(name.encode(), DELETED.encode())
        if content != before:
            write_atomically(path, content)
            count += 1
    return count


def _redact_database(path: Path, names: Sequence[str]) -> int:
    """Blank the names in every text of an SQLite database, and in the pages that it has freed."""
    if not path.is_file() or not names:
        return 0
    count = 0
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for column in [row[1] for row in connection.execute(f'pragma table_info("{table}")')]:
                for name in names:
                    changed = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'
                    count += connection.execute(changed, (name, DELETED, name)).rowcount
        connection.commit()
        if count:
            connection.execute("vacuum")
    return count


def _forget_rows(archive: Archive, studies: Sequence[StudyRecord]) -> None:
    """Remove the rows of studies, and what the database has kept of them in freed pages and its log."""
    uids = [study.uid for study in studies]
    if not uids:
        return
    with Session(archive.engine) as session:
        for uid in uids:
            contents = select(Instance.source_sha256).where(Instance.study_uid == uid)
            session.execute(
                update(Intake).where(Intake.source_sha256.in_(contents)).values(source_sha256=NO_CONTENT),
                execution_options={"synchronize_session": False},
            )
            for table, column in ((Label, Label.study_uid), (Report, Report.study_uid), (Instance, Instance.study_uid)):
                session.execute(delete(table).where(column == uid))
            session.execute(delete(Study).where(Study.uid == uid))
        session.commit()
    if archive.engine.dialect.name == "sqlite":
        with archive.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("vacuum"))
            connection.execute(text("pragma wal_checkpoint(truncate)"))
