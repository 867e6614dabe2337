"""What arrived at a site, and in which order: for those who look after the intake."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from osler.archive.models import Instance, Intake, Run
from osler.archive.records import Outcome
from osler.archive.store import Archive


def site_intake(archive: Archive, site: str) -> dict[Outcome, Counter[str]]:
    """Return how many files received from a site had each outcome, by code."""
    query = (
        select(Intake.outcome, Intake.code, func.count())
        .join(Run, Run.id == Intake.run_id)
        .where(Run.site == site)
        .group_by(Intake.outcome, Intake.code)
    )
    counts = {outcome: Counter[str]() for outcome in Outcome}
    with Session(archive.engine) as session:
        for outcome, code, count in session.execute(query):
            counts[Outcome(outcome)][code] = count
    return counts


def arrival_order(archive: Archive) -> list[str]:
    """Return the UIDs of all studies in the order in which their first image was accepted."""
    first = func.min(Intake.id)
    query = (
        select(Instance.study_uid)
        .join(Intake, Intake.source_sha256 == Instance.source_sha256)
        .where(Intake.outcome == str(Outcome.ACCEPTED))
        .group_by(Instance.study_uid)
        .order_by(first, Instance.study_uid)
    )
    with Session(archive.engine) as session:
        return list(session.scalars(query))
