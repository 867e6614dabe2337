"""Health: whether the process lives, whether it can answer, and its figures."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from osler.access import Action
from osler.api.described import failure, failures, with_example
from osler.api.errors import problem
from osler.api.guard import Caller, Server, needs
from osler.api.held import Held
from osler.api.metrics import CONTENT_TYPE
from osler.archive.models import Study
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LEAST_FREE = 256 << 20  # bytes: corrections and the audit log must still find room
ASKED_AGAIN_S = 2  # anybody may ask whether the server is ready: it looks once in so many seconds
TEXT = {"text/plain": {"example": "# TYPE osler_archive_studies gauge\nosler_archive_studies 2000.0\n"}}

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process lives."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The server can answer."""

    model_config = with_example({"status": "ready", "warm": True})

    status: Literal["ready"] = "ready"
    warm: bool = Field(description="Whether the sites were measured; until then the first explanations take longer")


@router.get("/health/live", responses={500: failure(500)}, summary="Does the process live?")
async def live() -> Live:
    """Answer; what starts and stops servers asks it, without a token."""
    return Live()


@router.get(
    "/health/ready", responses={500: failure(500), 503: failure(503)}, response_model=Ready, summary="Can it answer?"
)
def ready(server: Server) -> Response:
    """Look at database, model and disk; 503 with the parts that fail, without a token and without saying more."""
    failing = server.once("ready", int(time.monotonic() / ASKED_AGAIN_S), lambda: failing_parts(server))
    if failing:
        error = OslerError(Code.OVERLOADED, "The server cannot answer now.", "`osler doctor` says what mends it.")
        return problem(error, dict.fromkeys(failing, "failed"))
    return JSONResponse(Ready(warm=server.warmed.is_set()).model_dump())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format 0.0.4", "content": TEXT}, **failures()},
    summary="Figures for Prometheus",
)
def metrics(server: Server, caller: Annotated[Caller, Depends(needs(Action.EXAMINE))]) -> Response:
    """Return requests and their times by address, explanations that wait, and studies of the archive."""
    server.metrics.waiting.set(server.turns.waiting)
    server.metrics.studies.set(_count(server))
    return Response(server.metrics.text(), media_type=CONTENT_TYPE)


def failing_parts(server: Held) -> list[str]:
    """Return the parts that do not work."""
    return [name for name, works in PARTS.items() if not _tried(works, server)]


def _count(server: Held) -> int:
    with Session(server.archive.engine) as session:
        return session.scalar(select(func.count()).select_from(Study)) or 0


def _database(server: Held) -> bool:
    with Session(server.archive.engine) as session:
        session.execute(select(Study.uid).limit(1))
    return True


def _model(server: Held) -> bool:
    return bool(server.explainer().pipeline.classes)


def _disk(server: Held) -> bool:
    return shutil.disk_usage(server.workspace.root).free >= LEAST_FREE


PARTS: dict[str, Callable[[Held], bool]] = {"database": _database, "model": _model, "disk": _disk}


def _tried(works: Callable[[Held], bool], server: Held) -> bool:
    try:
        return works(server)
    except Exception:  # noqa: BLE001 - whatever the part raises, it does not work
        return False
