"""Corrections and sign-offs: a reader's word on a study, based on the revision that the reader had before the eyes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from osler import audit
from osler.access import Action, Person, require_action
from osler.api.described import failures, with_example
from osler.api.explanations import ConceptName, ask, require_concepts
from osler.api.guard import Caller, Server, needs
from osler.api.held import Held
from osler.api.studies import MaySee, StudyUid
from osler.explain.explanation import Explanation
from osler.feedback import (
    MAX_COMMENT,
    Answer,
    Draft,
    Review,
    ReviewConflictError,
    ReviewState,
    confirm_review,
    save_review,
    withdraw_review,
)
from osler.feedback.making import review_of
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

REVISION = r"^([0-9a-f]{16})?$"
SAID = 40  # answers in one entry of the audit log, whose entries are short

router = APIRouter(prefix="/v1", tags=["reviews"])
ReviewId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{16}$", description="Name of a review", examples=["8f2b6c0d1e3a4f57"])
]
MayCorrect = Annotated[Caller, Depends(needs(Action.CORRECT))]
MaySign = Annotated[Caller, Depends(needs(Action.SIGN))]


class ReviewIn(BaseModel):
    """A reader's word, to be kept."""

    model_config = with_example(
        {
            "answers": {"cardiomegaly": "absent", "pleural_effusion": "confirm"},
            "comment": "Rotated; the heart is of normal size.",
            "finding": "",
            "signed": True,
            "based_on": "",
        },
        extra="forbid",
    )

    answers: dict[ConceptName, Answer] = Field(
        default_factory=dict, max_length=512, description="The word on each concept that was looked at"
    )
    comment: str = Field("", max_length=MAX_COMMENT)
    finding: str = Field(
        "", max_length=128, description="The reader's own finding; empty to go with the model's, as corrected"
    )
    signed: bool = Field(True, description="Whether the study is signed off; false for work in progress")
    based_on: str | None = Field(
        None,
        pattern=REVISION,
        description="`revision` of the study that the reader saw, empty for none; or send it as If-Match",
    )


class Confirmation(BaseModel):
    """A word that somebody was faster than is to count after all."""

    model_config = with_example({"based_on": "1b6e0c9d2f3a4e58"}, extra="forbid")

    based_on: str = Field(pattern=REVISION, description="`revision` of the study, as it was shown")


class Concluded(BaseModel):
    """A finding with its probability, calibrated where the model is."""

    finding: str
    probability: float


class ReviewOut(BaseModel):
    """A reader's word as it was kept."""

    model_config = with_example(
        {
            "id": "1b6e0c9d2f3a4e58",
            "study": "2.25.161049532817",
            "reviewer": "Dr Baum",
            "saved": "2026-03-04T10:11:12+00:00",
            "answers": {"cardiomegaly": "absent"},
            "comment": "",
            "finding": "normal",
            "before": {"finding": "heart_failure", "probability": 0.69},
            "after": {"finding": "normal", "probability": 0.58},
            "model": "4b7d",
            "bank": "9f01",
            "patch": "0ec2f3cfd2ae",
            "signed": True,
            "amends": "",
            "unconfirmed": False,
        }
    )

    id: str
    study: str
    reviewer: str
    saved: str = Field(description="When, ISO 8601 in UTC")
    answers: dict[str, Answer]
    comment: str
    finding: str = Field(validation_alias="concluded", description="The finding that the reader leaves the study with")
    before: Concluded = Field(description="What the model concluded")
    after: Concluded = Field(description="What it concluded once corrected")
    model: str = Field(description="Digest of the model")
    bank: str = Field(description="Digest of its concept bank")
    patch: str | None = Field(description="The patch in force")
    signed: bool
    amends: str = Field(description="The signed review that it takes the place of")
    unconfirmed: bool = Field(description="Whether somebody was faster, and it does not count until it is confirmed")


class StudyReviewsOut(BaseModel):
    """What was said of a study."""

    state: ReviewState
    revision: str = Field(description="What the next word is based on; empty where nothing was said yet")
    result: str | None = Field(description="The signed review that stands, None where there is none")
    items: list[ReviewOut] = Field(description="Reviews that count, oldest first")
    waiting: list[ReviewOut] = Field(description="Your own that somebody was faster than, and that wait for your word")


@router.get("/studies/{study}/reviews", responses=failures(404), summary="Show what was said of a study")
def list_reviews(server: Server, caller: MaySee, study: StudyUid, response: Response) -> StudyReviewsOut:
    """Return the reviews of a study; the header ETag holds the revision."""
    uid = server.study(study).uid
    server.views.note(caller.token.id, caller.person, "study.view", uid)
    held = server.reviews_of(uid)
    response.headers["ETag"] = f'"{held.revision}"'
    return StudyReviewsOut(
        state=held.state,
        revision=held.revision,
        result=held.result.id if held.result else None,
        items=[ReviewOut.model_validate(one, from_attributes=True) for one in held.counted],
        waiting=[
            ReviewOut.model_validate(one, from_attributes=True)
            for one in held.waiting
            if one.reviewer == caller.person.name
        ],
    )


@router.post(
    "/studies/{study}/reviews", status_code=201, responses=failures(404, 409), summary="Correct or sign off a study"
)
async def add_review(
    server: Server,
    caller: MayCorrect,
    study: StudyUid,
    body: ReviewIn,
    if_match: Annotated[str | None, Header(description="The revision in quotes, in place of `based_on`")] = None,
) -> ReviewOut:
    """Keep a reader's word.

    Where somebody else was faster the answer is 409: the word is kept under the name that `details` gives, and counts once
    its reader confirms it.
    """
    if body.signed:
        require_action(caller.person, Action.SIGN)
    based_on = _based_on(body, if_match)
    asked = await run_in_threadpool(ask, server, study, None, True)
    require_concepts(asked.explainer, body.answers)
    if body.finding and body.finding not in asked.explainer.pipeline.classes:
        raise OslerError(
            Code.USAGE, "The model has no finding of this name.", "The study's explanation names those it has."
        )
    draft = Draft(body.answers, body.comment, body.finding, based_on)
    first = await server.turns.run(("first", *asked.name), asked.explain)
    now = first
    if draft.corrections:
        corrections = {concept: float(present) for concept, present in draft.corrections.items()}
        now = await server.turns.run(
            (*asked.name, tuple(sorted(corrections.items()))), lambda: asked.explain(corrections)
        )
    made = await run_in_threadpool(_save, server, caller.person, first, now, draft, body.signed)
    return ReviewOut.model_validate(made, from_attributes=True)


@router.post(
    "/studies/{study}/reviews/{review}/confirm",
    status_code=201,
    responses=failures(404, 409),
    summary="Let a word count that somebody was faster than",
)
def confirm(server: Server, caller: MaySign, study: StudyUid, review: ReviewId, body: Confirmation) -> ReviewOut:
    """Confirm an own word that waits, once you have seen what came before it."""
    uid = _waiting(server, caller.person, study, review)
    made = confirm_review(server.workspace, review, reviewer=caller.person.name, based_on=body.based_on)
    _audit(server, caller.person, "study.sign", uid, amends="yes")
    return ReviewOut.model_validate(made, from_attributes=True)


@router.delete(
    "/studies/{study}/reviews/{review}",
    status_code=204,
    responses=failures(404),
    summary="Withdraw a word that waits",
)
def withdraw(server: Server, caller: MayCorrect, study: StudyUid, review: ReviewId) -> None:
    """Take an own word back that waits to be confirmed; one that counts is amended by another review, never taken back."""
    uid = _waiting(server, caller.person, study, review)
    withdraw_review(server.workspace, review, reviewer=caller.person.name)
    _audit(server, caller.person, "study.withdraw", uid)


def _based_on(body: ReviewIn, if_match: str | None) -> str:
    """Return the revision that a word is based on, as either way of sending it says."""
    header = None if if_match is None else if_match.strip().strip('"')
    given = {one for one in (body.based_on, header) if one is not None}
    if len(given) != 1:
        raise OslerError(
            Code.REQUEST_INVALID,
            "A word on a study names the revision that its reader saw.",
            "Send the study's `revision` as `based_on`, or as the header If-Match; where both are sent they are the same.",
        )
    return given.pop()


def _save(server: Held, person: Person, first: Explanation, now: Explanation, draft: Draft, signed: bool) -> Review:
    made = review_of(first, now, draft, person.name, signed=signed)
    # First the audit: what cannot be audited is not done.
    said = [f"{concept} {answer}" for concept, answer in draft.answers.items()]
    for start in range(0, max(len(said), 1), SAID):
        told = ", ".join(said[start : start + SAID]) or "none"
        _audit(server, person, "study.answer", made.study, answers=told, signed="yes" if signed else "no")
    try:
        kept = save_review(server.workspace, made)
    except ReviewConflictError:
        _audit(server, person, "study.sign-late", made.study)
        raise
    if signed:
        _audit(server, person, "study.sign", made.study)
    return kept


def _waiting(server: Held, person: Person, study: str, review: str) -> str:
    uid = server.study(study).uid
    if not any(one.id == review and one.reviewer == person.name for one in server.reviews_of(uid).waiting):
        raise OslerError(
            Code.UNKNOWN_REVIEW,
            "There is no such review of yours that waits for a word.",
            "The study's reviews name those that do.",
        )
    return uid


def _audit(server: Held, person: Person, action: str, study: str, **details: str) -> None:
    audit.record(server.workspace, actor=person.name, action=action, subject=study, details=details)
