"""Writing to the archive: each file is in its place before the index says so.

A crash in between leaves a file without a row; ingesting again writes the same bytes to the same place and adds the row.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from osler.archive.models import Instance, Intake, Label, Report, Run, Study
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.database import touch
from osler.database.models import Fact
from osler.files import move_synced
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


class Known(NamedTuple):
    """The content that an archived instance came from, and its own hash."""

    source_sha256: str
    sha256: str


class Keeper:
    """The one writer of an archive, for one run.

    Args:
        archive: The archive; its lock is held by the caller.
        site: Name of the site that the files come from.
        contract: Name and version of the contract that judges them.
        fingerprint: Mark of the key that makes the pseudonyms.

    Raises:
        OslerError: `key-invalid` where the archive was made with another key: one patient would become two.
    """

    def __init__(self, archive: Archive, *, site: str, contract: str, fingerprint: str) -> None:
        self.archive = archive
        self.waiting = archive.workspace.archive / ".incoming"
        shutil.rmtree(self.waiting, ignore_errors=True)  # what a killed run left
        self.waiting.mkdir()
        # Rows of a group are written together when it is committed; until then they are looked up here.
        self._session = Session(archive.engine, autoflush=False, expire_on_commit=False)
        self._instances: dict[str, Known] = {}
        self._patients: dict[str, str] = {}
        if self._setting("key", fingerprint) != fingerprint:
            self.close()
            raise OslerError(
                Code.KEY_INVALID,
                "This archive was made with another key.",
                "Name that key with --key-file, or begin a new workspace.",
            )
        self._run = Run(site=site, contract=contract, started=_now())
        self._session.add(self._run)
        self._session.commit()

    @property
    def run(self) -> int:
        """Number of this run."""
        return self._run.id

    def archived(self, source_sha256s: Iterable[str]) -> set[str]:
        """Return those contents that the archive holds a file of, on disk too."""
        query = select(Instance.source_sha256, Instance.path).where(Instance.source_sha256.in_(set(source_sha256s)))
        root = self.archive.workspace.root
        return {content for content, path in self._session.execute(query) if (root / path).is_file()}

    def known(self, uid: str) -> Known | None:
        """Return what the archive says of an instance, None where it has none."""
        if uid in self._instances:
            return self._instances[uid]
        query = select(Instance.source_sha256, Instance.sha256).where(Instance.uid == uid)
        row = self._session.execute(query).one_or_none()
        return None if row is None else Known(*row)

    def patient_of(self, study_uid: str) -> str | None:
        """Return the patient of a study, None where the archive has no such study."""
        if study_uid not in self._patients:
            patient = self._session.scalar(select(Study.patient).where(Study.uid == study_uid))
            if patient is None:
                return None
            self._patients[study_uid] = patient
        return self._patients[study_uid]

    def accept(self, instance: Instance, study: Study, waiting: Path) -> None:
        """Move a prepared file to its place and add its rows."""
        place = self.archive.workspace.archive / study.uid[-2:] / study.uid / f"{instance.uid}.dcm"
        move_synced(waiting, place)
        instance.path = place.relative_to(self.archive.workspace.root).as_posix()
        if self.patient_of(study.uid) is None:
            self._session.add(study)
            self._patients[study.uid] = study.patient
        if self.known(instance.uid) is None:
            self._session.add(instance)
        else:  # its file was lost
            self._session.merge(instance)
        self._instances[instance.uid] = Known(instance.source_sha256, instance.sha256)

    def note(self, source_sha256: str, outcome: Outcome, code: str, detail: str) -> None:
        """Add the row that says what became of a received file."""
        row = Intake(run_id=self.run, source_sha256=source_sha256, outcome=str(outcome), code=code, detail=detail)
        self._session.add(row)

    def revise(self, source_sha256: str, outcome: Outcome, code: str, detail: str) -> None:
        """Say what became of a file that was quarantined when it was received, and was judged again.

        The rows of its receipts change: accounts stay those of what was received, as if it had been judged so at first.
        """
        query = select(Intake).where(Intake.source_sha256 == source_sha256).order_by(Intake.id)
        rows = list(self._session.scalars(query))
        waiting = [row for row in rows if row.outcome == str(Outcome.QUARANTINED)]
        if not rows:  # the index was lost and the quarantine was not
            self.note(source_sha256, outcome, code, detail)
        for number, row in enumerate(waiting):
            if outcome is Outcome.ACCEPTED and number:
                row.outcome, row.code, row.detail = str(Outcome.DUPLICATE), str(Code.DUPLICATE), ""
            else:
                row.outcome, row.code, row.detail = str(outcome), code, detail

    def describe(self, study_uid: str, labels: Mapping[str, str], report: str | None) -> bool:
        """Store labels and report of a study; return whether the archive holds it, else nothing is stored."""
        if self._session.get(Study, study_uid) is None:
            return False
        for name, value in labels.items():
            self._session.merge(Label(study_uid=study_uid, name=name, value=value))
        if report is not None:
            self._session.merge(Report(study_uid=study_uid, text=report))
        return True

    def commit(self) -> None:
        """Make what was done so far last."""
        touch(self._session)
        self._session.commit()
        self._instances.clear()
        self._patients.clear()

    def finish(self) -> None:
        """Mark the run as complete."""
        self._run.finished = _now()
        self._session.commit()

    def close(self) -> None:
        """Drop what was not committed, and the waiting files."""
        self._session.close()
        shutil.rmtree(self.waiting, ignore_errors=True)

    def _setting(self, name: str, value: str) -> str:
        """Return a setting, made with `value` where it was not yet set."""
        row = self._session.get(Fact, name)
        if row is None:
            row = Fact(name=name, value=value)
            self._session.add(row)
        return row.value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
