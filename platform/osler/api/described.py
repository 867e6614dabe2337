"""What the description of the API says of every address alike: examples, and the answers that are no success."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from osler.api.errors import Failure

EXAMPLES: dict[int, tuple[str, dict[str, Any]]] = {
    401: (
        "No token, or one that is wrong, expired, revoked or of somebody who has gone",
        {
            "code": "token-refused",
            "message": "A token that is good here is needed.",
            "mend": "Send it as `Authorization: Bearer TOKEN`; who manages the accounts here issues one with "
            "`osler api token issue`.",
        },
    ),
    403: (
        "The token's roles do not allow it",
        {
            "code": "not-allowed",
            "message": "Your account may not see studies.",
            "mend": "That belongs to the role clinician: ask who manages the accounts here.",
        },
    ),
    404: (
        "There is no such thing",
        {
            "code": "unknown-study",
            "message": "The archive has no study 1.2.3.",
            "mend": "See `osler archive list` for those it has.",
        },
    ),
    408: (
        "The request did not arrive in time",
        {"code": "timed-out", "message": "The request did not arrive in time.", "mend": "Send it again."},
    ),
    409: (
        "The state of things does not allow it",
        {
            "code": "review-conflict",
            "message": "Dr Baum signed this study while you worked on it. Your answers are kept.",
            "mend": "Look at what was said, then confirm yours or withdraw them.",
            "details": {"kept": "8f2b6c0d1e3a4f57", "revision": "1b6e0c9d2f3a4e58"},
        },
    ),
    413: (
        "The request is too large",
        {
            "code": "request-too-large",
            "message": "The request is too large.",
            "mend": "Send a body of up to 65536 bytes.",
        },
    ),
    422: (
        "The request is not as this address takes it",
        {
            "code": "request-invalid",
            "message": "The request is not as this address takes it.",
            "mend": "Correct what `details` names; /openapi.json describes every address.",
            "details": {"body.based_on": "Field required"},
        },
    ),
    429: (
        "The token asks more often than it may; `Retry-After` says when to come back",
        {
            "code": "too-many-requests",
            "message": "This token asks more often than it may.",
            "mend": "Try again in 2 seconds.",
        },
    ),
    500: (
        "Something failed that should not have; the reference finds it in the server's log",
        {
            "code": "internal",
            "message": "Something failed that should not have.",
            "mend": "Try again; if that does not help, give the reference 5d1c7e02 to who looks after Osler here.",
            "details": {"reference": "5d1c7e02"},
        },
    ),
    503: (
        "The installation cannot answer now: it is overloaded, or somebody has to mend it",
        {
            "code": "overloaded",
            "message": "Too many explanations are asked for at the moment.",
            "mend": "Try again in a few seconds.",
        },
    ),
}
ALWAYS = (401, 403, 413, 408, 422, 429, 500, 503)
_SECONDS = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the failures of an address: those that every one may answer, and these."""
    return {status: failure(status) for status in sorted({*ALWAYS, *statuses})}


def failure(status: int) -> dict[str, Any]:
    """Return the description of one status."""
    words, error = EXAMPLES[status]
    told: dict[str, Any] = {
        "model": Failure,
        "description": words,
        "content": {"application/json": {"example": {"error": {"details": {}, **error}}}},
    }
    if status in (429, 503):
        told["headers"] = _SECONDS
    if status == 401:
        told["headers"] = {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}}
    return told


def with_example(example: dict[str, Any], *, extra: Literal["ignore", "forbid"] = "ignore") -> ConfigDict:
    """Return the configuration of a model that is described with an example."""
    return ConfigDict(extra=extra, json_schema_extra={"example": example})
