"""Studies: the archive, a page at a time, under pseudonyms and with shifted dates."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from osler.access import Action
from osler.api.described import failures, with_example
from osler.api.guard import Caller, Server, needs
from osler.api.held import NONE
from osler.archive.models import Study
from osler.feedback import ReviewState, StudyReviews

LONGEST_PAGE, FARTHEST = 200, 100_000_000
UID = r"^[0-9.]{1,64}$"
LINE = r"^[^\x00-\x1f\x7f]{1,64}$"

router = APIRouter(prefix="/v1", tags=["studies"])
StudyUid = Annotated[
    str, Path(pattern=UID, description="Pseudonymous Study Instance UID", examples=["2.25.161049532817"])
]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="How many to answer with")]
Offset = Annotated[int, Query(ge=0, le=FARTHEST, description="How many to pass over")]
Site = Annotated[str | None, Query(pattern=LINE, description="Only those of this site", examples=["hospital_a"])]
MaySee = Annotated[Caller, Depends(needs(Action.VIEW_STUDIES))]


class Image(BaseModel):
    """One archived image."""

    uid: str = Field(description="Pseudonymous SOP Instance UID")
    modality: str
    view: str = Field(description="PA, AP, LL and the like; empty where the header does not say")
    rows: int = Field(description="Height in pixels")
    columns: int = Field(description="Width in pixels")


class StudySummary(BaseModel):
    """A study of the archive."""

    model_config = with_example(
        {
            "uid": "2.25.161049532817",
            "site": "hospital_a",
            "patient": "OSL-3F9A1C",
            "study_date": "20231104",
            "state": "to review",
            "revision": "",
            "images": [{"uid": "2.25.71", "modality": "DX", "view": "PA", "rows": 2048, "columns": 2048}],
            "warnings": ["spacing-unknown"],
        }
    )

    uid: str = Field(description="Pseudonymous Study Instance UID")
    site: str
    patient: str = Field(description="Pseudonym of the patient")
    study_date: str = Field(description="Shifted date, YYYYMMDD; empty where there is none")
    state: ReviewState = Field(description="Where it stands with its readers")
    revision: str = Field(description="What a correction is based on; empty where nothing was said yet")
    images: list[Image]
    warnings: list[str] = Field(description="Codes of what its files entered the archive with")


class StudyPage(BaseModel):
    """A page of studies, ordered by UID."""

    items: list[StudySummary]
    total: int = Field(description="How many there are in all pages")
    limit: int
    offset: int


@router.get("/studies", responses=failures(), summary="List studies")
def list_studies(
    server: Server,
    caller: MaySee,
    site: Site = None,
    state: Annotated[ReviewState | None, Query(description="Only those that stand so")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> StudyPage:
    """Return studies, ordered by UID; a study that arrives meanwhile may move others from one page to the next."""
    reviews = server.reviews()
    with Session(server.archive.engine) as session:
        query = select(Study.uid).order_by(Study.uid)
        query = query if site is None else query.where(Study.site == site)
        if state is None:
            total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
            uids = list(session.scalars(query.limit(limit).offset(offset)))
        else:
            found = [uid for uid in session.scalars(query) if reviews.get(uid, NONE).state is state]
            total, uids = len(found), found[offset : offset + limit]
        wanted = select(Study).where(Study.uid.in_(uids)).options(selectinload(Study.instances)).order_by(Study.uid)
        items = [_summary(row, reviews.get(row.uid, NONE)) for row in session.scalars(wanted)]
    # A site that is not there is whatever the caller wrote, which may be a name.
    server.views.note(caller.token.id, caller.person, "study.list", (site or "all") if items else "none")
    return StudyPage(items=items, total=total, limit=limit, offset=offset)


@router.get("/studies/{study}", responses=failures(404), summary="Show a study")
def show_study(server: Server, caller: MaySee, study: StudyUid) -> StudySummary:
    """Return one study."""
    found = server.study(study)
    server.views.note(caller.token.id, caller.person, "study.view", found.uid)
    with Session(server.archive.engine) as session:
        return _summary(session.get_one(Study, found.uid), server.reviews_of(found.uid))


def _summary(row: Study, reviews: StudyReviews) -> StudySummary:
    return StudySummary(
        uid=row.uid,
        site=row.site,
        patient=row.patient,
        study_date=row.study_date,
        state=reviews.state,
        revision=reviews.revision,
        images=[Image.model_validate(one, from_attributes=True) for one in row.instances],
        warnings=sorted({warning for one in row.instances for warning in one.warnings}),
    )
