"""The server: Streamlit's own, with a page to sign in before it. `streamlit run` finds `app` in here.

Altair and scikit-learn are imported here, by one thread, before any page is drawn: both import Narwhals, whose modules import
each other, and where a page and the reading of the archive did so at the same moment Python broke the deadlock with an error.
"""

from __future__ import annotations

from pathlib import Path

import altair  # noqa: F401
import sklearn.covariance  # noqa: F401
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
