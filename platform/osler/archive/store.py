"""The archive as the floors above read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from osler.archive.models import Instance, Intake, Label, Report, Study
from osler.archive.quarantine import Quarantine
from osler.archive.records import InstanceRecord, IntakeRecord, Outcome, StudyRecord
from osler.database import open_database
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VIEW_RANK = {"PA": 0, "AP": 1}
RADIOGRAPHS = frozenset({"CR", "DX", "DR", "RG"})


class Archive:
    """De-identified studies of a workspace.

    Args:
        workspace: An open workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.engine = open_database(workspace)
        self.quarantine = Quarantine(workspace.quarantine)

    def studies(self, site: str | None = None) -> list[StudyRecord]:
        """Return all studies, or those of one site, ordered by UID."""
        query = select(Study).options(selectinload(Study.instances)).order_by(Study.uid)
        with Session(self.engine) as session:
            rows = session.scalars(query if site is None else query.where(Study.site == site)).all()
            return self._records(session, rows)

    def study(self, uid: str) -> StudyRecord:
        """Return one study.

        Raises:
            OslerError: `unknown-study`.
        """
        with Session(self.engine) as session:
            row = session.get(Study, uid)
            if row is None:
                raise OslerError(
                    Code.UNKNOWN_STUDY,
                    f"The archive has no study {uid[:64]}.",
                    "See `osler archive list` for those it has.",
                )
            return self._records(session, [row])[0]

    def frontal(self, study: StudyRecord) -> InstanceRecord | None:
        """Return the image of a study that a frontal model reads, None where there is none.

        Of several: PA before AP before a frontal whose side is not named, then the earliest acquisition, then the UID.
        """
        eligible = [instance for instance in study.instances if instance.eligible_frontal]
        return min(eligible, key=lambda item: (VIEW_RANK.get(item.view, 2), item.acquired, item.uid), default=None)

    def image(self, study: StudyRecord) -> InstanceRecord | None:
        """Return the one image by which models know a study: its frontal one, else its earliest that is no radiograph.

        None for a study of radiographs of which none is frontal.
        """
        others = [one for one in study.instances if one.modality not in RADIOGRAPHS]
        return self.frontal(study) or min(others, key=lambda one: (one.acquired, one.uid), default=None)

    def intake(self, run: int | None = None) -> list[IntakeRecord]:
        """Return what became of every received file, or of those of one run, in the order of arrival."""
        query = select(Intake).order_by(Intake.id)
        with Session(self.engine) as session:
            rows = session.scalars(query if run is None else query.where(Intake.run_id == run))
            return [IntakeRecord(row.source_sha256, Outcome(row.outcome), row.code, row.detail) for row in rows]

    def intake_counts(self) -> dict[Outcome, Counter[str]]:
        """Return, over all runs, how many received files had each outcome, by code."""
        query = select(Intake.outcome, Intake.code, func.count()).group_by(Intake.outcome, Intake.code)
        counts = {outcome: Counter[str]() for outcome in Outcome}
        with Session(self.engine) as session:
            for outcome, code, count in session.execute(query):
                counts[Outcome(outcome)][code] = count
        return counts

    def _records(self, session: Session, rows: Iterable[Study]) -> list[StudyRecord]:
        rows = list(rows)
        # One study is asked for by its UID; for more, reading all labels beats thousands of bound parameters.
        only = rows[0].uid if len(rows) == 1 else None
        labels: dict[str, dict[str, str]] = {}
        query = select(Label).order_by(Label.name)
        for label in session.scalars(query if only is None else query.where(Label.study_uid == only)):
            labels.setdefault(label.study_uid, {})[label.name] = label.value
        reports_query = select(Report)
        found = session.scalars(reports_query if only is None else reports_query.where(Report.study_uid == only))
        reports = {report.study_uid: report.text for report in found}
        return [self._record(row, labels.get(row.uid, {}), reports.get(row.uid)) for row in rows]

    def _record(self, row: Study, labels: dict[str, str], report: str | None) -> StudyRecord:
        warnings = {warning for instance in row.instances for warning in instance.warnings}
        return StudyRecord(
            uid=row.uid,
            site=row.site,
            patient=row.patient,
            study_date=row.study_date,
            instances=tuple(_instance(self.workspace.root, instance) for instance in row.instances),
            labels=labels,
            report=report,
            warnings=tuple(sorted(warnings)),
        )


def _instance(root: Path, row: Instance) -> InstanceRecord:
    return InstanceRecord(
        uid=row.uid,
        path=root / row.path,
        sha256=row.sha256,
        modality=row.modality,
        view=row.view,
        eligible_frontal=row.eligible_frontal,
        acquired=row.acquired,
        rows=row.rows,
        columns=row.columns,
        transfer_syntax=row.transfer_syntax,
        photometric=row.photometric,
        decoder=row.decoder,
    )
