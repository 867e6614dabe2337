"""Mishaps: a reader sees a calm sentence with a reference, the log has where it happened. Neither has a value of a patient."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from osler import mishaps
from osler_dashboard.settings import WORKSPACE_VARIABLE

LOG = "dashboard.log"


def note(error: BaseException) -> str:
    """Write down where an error happened, and return the reference under which it stands."""
    return mishaps.note(error, Path(os.environ.get(WORKSPACE_VARIABLE, "")) / "cache" / LOG)


def on_error(error: Exception) -> bool:
    """Say that a page failed, instead of Streamlit; called by it with the error."""
    from osler_dashboard.components import frame

    frame.nothing("This page could not be drawn.", sentence(note(error)))
    return True


def answer(_request: Request, error: Exception) -> Response:
    """Say that an address failed, instead of the server."""
    return PlainTextResponse(sentence(note(error)), 500)


def sentence(reference: str) -> str:
    """Return what a reader is told, with the reference."""
    return f"Load it again. If that does not help, give the reference {reference} to who looks after Osler here."


def keep_quiet() -> None:
    """Keep Streamlit from writing errors of pages to the terminal, message and all."""
    logging.getLogger("streamlit.error_util").addFilter(
        lambda record: not record.getMessage().startswith("Uncaught app")
    )
