"""The application: every address, and the layers before it. uvicorn calls `from_environment` in each worker process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from threading import Thread
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from osler import __version__
from osler.api import explanations, health, holder, patches, reviews, studies
from osler.api.errors import on_http_error, on_invalid, on_osler_error
from osler.api.examples import explanation
from osler.api.guard import Guard
from osler.api.held import Held
from osler.api.limits import BodyLimit
from osler.api.settings import Settings
from osler.api.warming import warm
from osler_contracts.errors import OslerError

THREADS = 128  # requests of one process that may be worked on at once
DESCRIPTION = """Studies of a workspace with their explanations, corrections and site patches.

Every address but `/health/live` and `/health/ready` asks for a token of `osler api token issue`, sent as
`Authorization: Bearer TOKEN`; what it may do is what its holder's roles allow. Every failure has one shape: a stable `code`,
a `message` and a `mend`. All UIDs and patients are pseudonyms, and dates are shifted. For research use; not a medical device.
"""
ABOUT: dict[str, Any] = {
    "title": "Osler",
    "version": __version__,
    "description": DESCRIPTION,
    "license_info": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "docs_url": None,  # both pages load scripts from elsewhere, which a hospital's network does not reach
    "redoc_url": None,
}


def create(settings: Settings) -> FastAPI:
    """Return the application over a workspace.

    Raises:
        OslerError: `workspace-invalid`.
    """
    held = Held(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Most of these wait for the audit log to reach the disk; a small pool would let nobody else in meanwhile.
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        held.turns.open()
        if settings.warm:
            Thread(target=warm, args=(held,), name="osler-warm", daemon=True).start()
        else:
            held.warmed.set()
        yield
        held.close()

    app = FastAPI(
        **ABOUT,
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, held=held),
            Middleware(BodyLimit, most=settings.body, seconds=settings.body_s),
        ],
        exception_handlers={
            OslerError: on_osler_error,
            RequestValidationError: on_invalid,
            HTTPException: on_http_error,
        },
    )
    app.state.held = held
    return _with_addresses(app)


def describe() -> dict[str, Any]:
    """Return the OpenAPI description, for which no workspace is needed."""
    return _with_addresses(FastAPI(**ABOUT)).openapi()


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the description that FastAPI makes, with the example whose nulls it would leave out."""
    described = FastAPI.openapi(app)
    for operation in described["paths"][f"{studies.router.prefix}/studies/{{study}}/explanation"].values():
        operation["responses"]["200"]["content"]["application/json"]["example"] = explanation()
    return described


def _with_addresses(app: FastAPI) -> FastAPI:
    app.include_router(health.router)
    for module in (holder, studies, explanations, reviews, patches):
        app.include_router(module.router)
    app.openapi = partial(_described, app)  # type: ignore[method-assign]
    return app


def from_environment() -> FastAPI:
    """Return the application that `osler api` was asked for."""
    return create(Settings.from_environment())
