"""One shape of error for every address: stable code, sentence, mend. Never a trace, never a value that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request

from osler import mishaps
from osler.feedback import ReviewConflictError
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

LOG = "api.log"
RETRY_S = 5  # what a caller is told to wait where nothing better is known

STATUS: dict[Code, int] = {
    Code.TOKEN_REFUSED: 401,
    Code.TOKEN_EXPIRED: 401,
    Code.NOT_ALLOWED: 403,
    Code.UNKNOWN_ADDRESS: 404,
    Code.UNKNOWN_MODEL: 404,
    Code.UNKNOWN_PATCH: 404,
    Code.UNKNOWN_REVIEW: 404,
    Code.UNKNOWN_STUDY: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.TIMED_OUT: 408,
    Code.BANK_MISMATCH: 409,
    Code.NOTHING_ELIGIBLE: 409,
    Code.PATCH_EXPIRED: 409,
    Code.PATCH_INVALID: 409,
    Code.REVIEW_CONFLICT: 409,
    Code.REQUEST_TOO_LARGE: 413,
    Code.INPUT_RANGE: 422,
    Code.REQUEST_INVALID: 422,
    Code.UNKNOWN_CONCEPT: 422,
    Code.USAGE: 422,
    Code.TOO_MANY_REQUESTS: 429,
    Code.INTERNAL: 500,
}
# What keeps a single study's file from being read: the study is there, and its state does not allow what was asked.
STATUS |= dict.fromkeys(
    (
        Code.DECODER_MISSING,
        Code.DECODE_CRASH,
        Code.DECODE_TIMEOUT,
        Code.FILE_MISSING,
        Code.NO_PIXELS,
        Code.NOT_DICOM,
        Code.PIXEL_FORMAT_INVALID,
        Code.PIXELS_UNDECODABLE,
        Code.TRUNCATED,
    ),
    409,
)
UNAVAILABLE = 503  # everything else lies with the installation, and somebody has to mend it


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable code: programs may rely on it", examples=["unknown-study"])
    message: str = Field(description="What happened, as a sentence", examples=["The archive has no study 1.2.3."])
    mend: str = Field(description="What to do about it", examples=["List the studies to see those it has."])
    details: dict[str, str] = Field(
        default_factory=dict,
        description="Further words by name: the place of each fault in the request, or what was kept of it",
    )


class Failure(BaseModel):
    """The body of every answer that is no success."""

    model_config = ConfigDict(extra="forbid")

    error: Problem


def status_of(error: OslerError) -> int:
    """Return the HTTP status of an error."""
    return STATUS.get(error.code, UNAVAILABLE)


def problem(
    error: OslerError, details: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer to an error, with the headers that its status asks for."""
    status, given = status_of(error), dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        given["WWW-Authenticate"] = 'Bearer realm="osler"'
    if error.code in (Code.OVERLOADED, Code.TOO_MANY_REQUESTS):
        given.setdefault("Retry-After", str(RETRY_S))
    told = Problem(**error.to_dict(), details=dict(details or {}))
    return JSONResponse(Failure(error=told).model_dump(), status, given)


def unforeseen(error: BaseException, root: Path) -> JSONResponse:
    """Return the answer to an error that nobody foresaw; where it happened goes into the log of the workspace."""
    if isinstance(error, OSError):
        known = from_os_error(error)
        if known.code is Code.DISK_FULL:
            return problem(known)
    reference = mishaps.note(error, root / "cache" / LOG)
    return problem(
        OslerError(
            Code.INTERNAL,
            "Something failed that should not have.",
            f"Try again; if that does not help, give the reference {reference} to who looks after Osler here.",
        ),
        {"reference": reference},
    )


async def on_osler_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer an error that Osler foresaw."""
    assert isinstance(error, OslerError)
    details: dict[str, str] = {}
    if isinstance(error, ReviewConflictError):
        details = {"kept": error.kept.id, "revision": error.since[-1].id if error.since else ""}
    return problem(error, details)


async def on_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Answer a request that does not fit its description: where, and what is asked; not what was sent."""
    assert isinstance(error, RequestValidationError)
    details = {_place(one): _asked(one) for one in error.errors()[:20]}
    return problem(
        OslerError(
            Code.REQUEST_INVALID,
            "The request is not as this address takes it.",
            "Correct what `details` names; /openapi.json describes every address.",
        ),
        details,
    )


async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer what the router refuses: an address or a method that is not there."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        known = OslerError(
            Code.METHOD_NOT_ALLOWED, "This address does not take that method.", "See /openapi.json for those it takes."
        )
        return problem(known, headers=error.headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(OslerError(Code.UNKNOWN_ADDRESS, "There is no such address.", "See /openapi.json for them."))
    return problem(OslerError(Code.REQUEST_INVALID, "The request cannot be read.", "See /openapi.json."))


def _place(fault: Mapping[str, Any]) -> str:
    """Return where a fault is, with a star for names that the caller made up: they may be a patient's."""
    parts = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        parts[-1] = "*"
    if parts[:2] == ["body", "answers"] and len(parts) > 2:
        parts[2] = "*"
    return ".".join(parts)


def _asked(fault: Mapping[str, Any]) -> str:
    """Return what is asked of a field; pydantic's sentence for a value that was compared may quote it, its kind never."""
    return str(fault["msg"])[:300] if fault["type"] in _QUIET else str(fault["type"]).replace("_", " ")


_QUIET = frozenset(
    {
        "missing",
        "extra_forbidden",
        "string_type",
        "string_too_long",
        "string_too_short",
        "int_parsing",
        "int_type",
        "bool_parsing",
        "bool_type",
        "greater_than_equal",
        "less_than_equal",
        "enum",
        "literal_error",
        "too_long",
        "dict_type",
        "model_attributes_type",
    }
)  # sentences of these say what is allowed, and never what was given
