"""Taking studies out again, with every trace: at a patient's wish, or because their time is over.

Traces go first, then objects, and the rows of the index last: a run that was killed finds them again and completes when
it is run once more. The audit log keeps its entries, which name pseudonyms.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from osler import audit
from osler.archive.deleted import note_deleted
from osler.archive.models import Instance, Intake, Label, Report, Run, Study
from osler.archive.records import StudyRecord
from osler.archive.served_traces import redact_served
from osler.archive.store import Archive
from osler.database import only_writer, touch
from osler.database.migrate import copies
from osler.database.move import kept_records
from osler.deid.basic_profile import patient_key
from osler.deid.crosswalk import Crosswalk
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.refusals import attempt
from osler.feedback import forget_drafts, redact_lines, store_of
from osler.files import write_atomically
from osler.reader_study import DELETED, READINGS
from osler.reader_study import FOLDER as READER_STUDIES
from osler.tracking import SERVER_FOLDER
from osler.watch.models import WatchStep, WatchStudy
from osler.watch.waiting_room import room_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ISSUED = "journal.jsonl"  # of the reports that went out; what a PACS has of them stays there
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
    reports: int = 0


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
    with only_writer(archive.workspace, archive.engine):
        studies = [study for study in archive.studies() if study.patient == patient]
        waiting = _quarantined(archive, patient, pseudonymizer)
        refused = set(waiting.values()) - {study.uid for study in studies} - {""}
        if not studies and not waiting:
            raise OslerError(
                Code.UNKNOWN_PATIENT, "The archive has no such patient.", "See `osler archive list` for those it has."
            )
        _audit(archive.workspace, actor, "archive.delete", patient, reason)
        removed = _remove(archive, studies, [patient])
        _forget_rows(archive, sorted(refused))  # while their files still say whose they are
        for sha256 in waiting:
            archive.quarantine.release(sha256)
            removed.quarantined += 1
        removed.crosswalk = crosswalk.forget(patient) if crosswalk else 0
        _forget_rows(archive, [study.uid for study in studies])
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
    with only_writer(archive.workspace, archive.engine):
        last = _last_arrivals(archive)
        every = archive.studies()
        limit = before.isoformat(timespec="seconds")
        old = [study for study in every if site in (None, study.site) and last.get(study.uid, "") < limit]
        going = {study.uid for study in old}
        kept = {study.patient for study in every if study.uid not in going}
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
        _forget_rows(archive, [study.uid for study in old])
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
    readings = sorted((workspace.feedback / READER_STUDIES).glob(f"*/{READINGS}"))
    removed.reviews = store_of(workspace).redact(names) + sum(redact_lines(path, names) for path in readings)
    forget_drafts(workspace, uids)
    removed.reports = redact_lines(workspace.reports / ISSUED, names)
    removed.artifacts = _redact_texts(workspace, names) + _redact_database(workspace.root / "mlflow.db", names)
    removed.artifacts += redact_served(workspace, names, TEXT_SUFFIXES, DELETED)
    if studies:
        # A feature's file is named by a hash that does not lead back to its study; all of them can be made again.
        # What `osler drift` read of an object is named by the object's own hash, which does.
        # What `osler explain` read of a site names every study of it.
        for name in ("features", "drift", "explain", SERVER_FOLDER):
            shutil.rmtree(workspace.cache / name, ignore_errors=True)
    for study in studies:
        shutil.rmtree(workspace.reports / study.uid[-2:] / study.uid, ignore_errors=True)
        for instance in study.instances:
            instance.path.unlink(missing_ok=True)
            removed.objects += 1
        for folder in {instance.path.parent for instance in study.instances}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return removed


def _quarantined(archive: Archive, patient: str, pseudonymizer: Pseudonymizer) -> dict[str, str]:
    """Return the hashes of quarantined files whose header names the patient, with the pseudonyms of their studies.

    A file without a header names nobody.
    """
    found = {}
    for reason in archive.quarantine.reasons():
        path = archive.quarantine.file(reason.sha256)
        whose = attempt(lambda path=path, site=reason.site: _patient_of(path, site, pseudonymizer), None)  # type: ignore[misc]
        if whose is not None and whose[0] == patient:
            found[reason.sha256] = whose[1]
    return found


def _patient_of(path: Path, site: str, pseudonymizer: Pseudonymizer) -> tuple[str, str]:
    header = dcmread(path, stop_before_pixels=True)
    study = str(header.get("StudyInstanceUID") or "")
    return pseudonymizer.patient(*patient_key(header, site)), pseudonymizer.uid(study) if study else ""


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


def _redact_texts(workspace: Workspace, names: Sequence[str]) -> int:
    """Blank the names in artifacts, patches, calibrations, reports of drift and summaries."""
    count = 0
    folders = [workspace.artifacts, workspace.patches, workspace.calibrations, workspace.drift]
    folders.append(workspace.feedback / READER_STUDIES)
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
                    # The names are the tables' own; what is looked for is bound.
                    changed = f'update "{table}" set "{column}" = replace("{column}", ?, ?)'  # nosec B608
                    changed += f' where instr("{column}", ?)'
                    count += connection.execute(changed, (name, DELETED, name)).rowcount
        connection.commit()
        if count:
            connection.execute("vacuum")
    return count


def _forget_rows(archive: Archive, uids: Sequence[str]) -> None:
    """Remove the rows of studies, and what the database has kept of them in freed pages and its log.

    What stays is a mark by which the watch knows them, should a PACS send them again.
    """
    if not uids:
        return
    for uid in uids:  # what the watch has fetched of them, and not taken in
        shutil.rmtree(room_of(archive.workspace) / uid, ignore_errors=True)
    with Session(archive.engine) as session:
        note_deleted(session, uids)
        for uid in uids:
            contents = select(Instance.source_sha256).where(Instance.study_uid == uid)
            session.execute(
                update(Intake).where(Intake.source_sha256.in_(contents)).values(source_sha256=NO_CONTENT),
                execution_options={"synchronize_session": False},
            )
            for column in (
                Label.study_uid,
                Report.study_uid,
                Instance.study_uid,
                WatchStep.study,
                WatchStudy.uid,
                Study.uid,
            ):
                session.execute(delete(column.class_).where(column == uid))
        touch(session)
        session.commit()
    for copy in [*copies(archive.workspace), *kept_records(archive.workspace)]:  # they hold what was just removed
        copy.unlink()
    with archive.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if archive.engine.dialect.name == "sqlite":
            connection.execute(text("vacuum"))
            connection.execute(text("pragma wal_checkpoint(truncate)"))
        else:
            for name in ("intake", "labels", "reports", "instances", "watch_steps", "watch_studies", "studies"):
                connection.execute(text(f"VACUUM FULL {name}"))
