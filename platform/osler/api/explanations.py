"""Explanations: the record `osler-explanation`, and what it would be with a reader's corrections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from osler.access import Action
from osler.adapt.patch import SitePatch
from osler.api.described import failures, with_example
from osler.api.guard import Caller, Server, needs
from osler.api.held import Held, Page, page_of
from osler.api.studies import MaySee, StudyUid
from osler.archive import StudyRecord
from osler.explain.explanation import Explanation
from osler.explain.service import StudyExplainer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

NAME = r"^[A-Za-z0-9_.-]{1,64}$"
CONCEPT = r"^[A-Za-z0-9_.:-]{1,64}$"

router = APIRouter(prefix="/v1", tags=["explanations"])
Model = Annotated[
    str | None,
    Query(pattern=NAME, description="Name of a model; the server's own where left out", examples=["bottleneck"]),
]
Patched = Annotated[bool, Query(description="Whether to apply the patch in force at the study's site")]
ConceptName = Annotated[str, Field(pattern=CONCEPT)]
_OK: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The explanation",
        "headers": {"ETag": {"description": "Validator, for If-None-Match", "schema": {"type": "string"}}},
    }
}
_SAME: dict[int | str, dict[str, Any]] = {304: {"description": "It is the one that If-None-Match names"}}


@dataclass(frozen=True, kw_only=True)
class ExplanationRecord(Explanation):
    """Why a study got its finding: `baseline`, the contributions and `residual` sum to `margin`."""

    schema: Literal["osler-explanation/4"] = "osler-explanation/4"


class Corrections(BaseModel):
    """Concepts that a reader sets."""

    model_config = with_example({"answers": {"cardiomegaly": "absent"}}, extra="forbid")

    answers: dict[ConceptName, Literal["present", "absent"]] = Field(min_length=1, max_length=512)


@router.get(
    "/studies/{study}/explanation",
    responses=_OK | _SAME | failures(404, 409),
    response_model=ExplanationRecord,
    summary="Explain a study",
)
async def explain_study(
    server: Server,
    caller: MaySee,
    study: StudyUid,
    model: Model = None,
    patched: Patched = True,
    if_none_match: Annotated[str | None, Header(description="`ETag` of an explanation that you hold")] = None,
) -> Response:
    """Return the explanation of a study under the patch in force at its site.

    It is worked out once and held while model, patch, calibration, archive and reviews stay as they are.
    """
    asked = await run_in_threadpool(_ask, server, caller, study, model, patched)
    page = asked.page
    if page is None:
        # Kept where it is made: who comes back after waiting too long finds it.
        page = await server.turns.run(asked.name, lambda: server.keep(asked.name, asked.explain()))
    server.metrics.explanations.labels("held" if asked.page else "made").inc()
    return answer(page, if_none_match)


@router.post(
    "/studies/{study}/explanation",
    responses=_OK | failures(404, 409),
    response_model=ExplanationRecord,
    summary="Try corrections",
)
async def try_corrections(
    server: Server,
    caller: Annotated[Caller, Depends(needs(Action.CORRECT))],
    study: StudyUid,
    body: Corrections,
    model: Model = None,
    patched: Patched = True,
) -> Response:
    """Return what the model would say with corrections; nothing is kept. Send a review to keep them."""
    asked = await run_in_threadpool(_ask, server, caller, study, model, patched)
    corrections = {concept: float(answer == "present") for concept, answer in body.answers.items()}
    require_concepts(asked.explainer, corrections)
    name = (*asked.name, tuple(sorted(corrections.items())))
    return answer(await server.turns.run(("tried", *name), lambda: page_of(asked.explain(corrections))), None)


def answer(page: Page, held: str | None) -> Response:
    """Return an explanation, or that the caller holds it already (RFC 9110, 13.1.2)."""
    headers = {"ETag": page.etag, "Cache-Control": "private, no-cache"}
    named = [one.strip().removeprefix("W/") for one in (held or "").split(",")]
    if page.etag in named or "*" in named:
        return Response(status_code=304, headers=headers)
    return Response(page.body, media_type="application/json", headers=headers)


@dataclass(frozen=True)
class Asked:
    """A question for an explanation.

    Attributes:
        explainer: The model.
        study: The study.
        patch: The patch to apply, or None.
        name: All that the answer depends on.
        page: The answer, where it is held already.
    """

    explainer: StudyExplainer
    study: StudyRecord
    patch: SitePatch | None
    name: tuple[Any, ...]
    page: Page | None

    def explain(self, corrections: Mapping[str, float] | None = None) -> Explanation:
        """Work the answer out."""
        return self.explainer.explain(
            self.study, patched=False, patch=self.patch, corrections=corrections if corrections else None
        )


def ask(server: Held, study: str, model: str | None, patched: bool) -> Asked:
    """Return a question.

    Raises:
        OslerError: `unknown-study`, `unknown-model`, `model-invalid`.
    """
    found, explainer = server.study(study), server.explainer(model)
    patch = server.patch_at(explainer, found.site) if patched else None
    name = server.page_name(explainer, found, patch)
    return Asked(explainer, found, patch, name, server.page(name))


def _ask(server: Held, caller: Caller, study: str, model: str | None, patched: bool) -> Asked:
    asked = ask(server, study, model, patched)
    server.views.note(caller.token.id, caller.person, "study.view", asked.study.uid)
    return asked


def require_concepts(explainer: StudyExplainer, concepts: Mapping[str, object]) -> None:
    """Refuse concepts that the model does not know.

    Raises:
        OslerError: `unknown-concept`.
    """
    if set(concepts) - set(explainer.pipeline.bank.ids):
        raise OslerError(
            Code.UNKNOWN_CONCEPT,
            "The model has no concept of one of these names.",
            "The study's explanation names those it has.",
        )
