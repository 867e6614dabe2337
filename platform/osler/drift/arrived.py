"""Images of a site in the order in which they arrived. Dates in the archive are shifted; this order and runs are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from osler.archive import Archive, Outcome
from osler.archive.models import Instance, Intake, Run, Study


@dataclass(frozen=True)
class Arrived:
    """An archived image and when it came.

    Attributes:
        position: Grows with each file that is received; of no meaning in itself.
        run: Number of the run of `osler ingest`.
        started: When that run started, ISO 8601 in UTC.
        contract: Contract that the run held it to.
        study: Pseudonymous UID of its study.
        patient: Pseudonym of its patient.
        study_date: Shifted date of the study.
        sha256: Hash of the archived file.
        path: The archived file.
    """

    position: int
    run: int
    started: str
    contract: str
    study: str
    patient: str
    study_date: str
    sha256: str
    path: Path


def arrived_images(archive: Archive, site: str) -> list[Arrived]:
    """Return the archived images of a site in the order in which they were first accepted."""
    first = (
        select(Intake.source_sha256, func.min(Intake.id).label("position"))
        .where(Intake.outcome == str(Outcome.ACCEPTED))
        .group_by(Intake.source_sha256)
        .subquery()
    )
    query = (
        select(Instance, Study, Run, first.c.position)
        .join(Study, Study.uid == Instance.study_uid)
        .join(first, first.c.source_sha256 == Instance.source_sha256)
        .join(Intake, Intake.id == first.c.position)
        .join(Run, Run.id == Intake.run_id)
        .where(Study.site == site)
        .order_by(first.c.position, Instance.uid)
    )
    with Session(archive.engine) as session:
        return [
            Arrived(
                position=position,
                run=run.id,
                started=run.started,
                contract=run.contract,
                study=study.uid,
                patient=study.patient,
                study_date=study.study_date,
                sha256=instance.sha256,
                path=archive.workspace.root / instance.path,
            )
            for instance, study, run, position in session.execute(query)
        ]


def studies_of(images: Sequence[Arrived]) -> list[str]:
    """Return the studies of images in the order of their first image."""
    return list(dict.fromkeys(image.study for image in images))
