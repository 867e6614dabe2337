"""The server: Streamlit's own, with a page to sign in before it. `streamlit run` finds `app` in here."""

from __future__ import annotations

from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

from osler.logs import mask_secrets
from osler_dashboard import doors
from osler_dashboard.mishaps import answer, keep_quiet, on_error

mask_secrets()
keep_quiet()
app = App(
    Path(__file__).resolve().with_name("app.py"),
    routes=doors.routes(),
    middleware=[Middleware(doors.SignInFirst)],
    secrets=doors.hospital_secrets(),
    lifespan=doors.lifespan,
    on_script_error=on_error,
    exception_handlers={Exception: answer},
)
