"""The dashboard: one navigation over the pages, framed alike."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from osler_contracts.errors import OslerError
from osler_dashboard import services
from osler_dashboard.components import frame
from osler_dashboard.components.assets import asset

PAGES = Path(__file__).resolve().parent / "pages"


def run() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Osler", page_icon=asset("icon.svg"), layout="wide")
    frame.begin()
    st.logo(asset("logo.svg"), size="large")
    page = st.navigation(
        [
            st.Page(PAGES / "study.py", title="Studies", icon=":material/radiology:", default=True),
            st.Page(PAGES / "sites.py", title="Site", icon=":material/tune:"),
            st.Page(PAGES / "results.py", title="Results", icon=":material/monitoring:"),
        ],
        position="top",
    )
    try:
        services.workspace()
        page.run()
    except OslerError as error:
        frame.nothing(error.message, error.mend)
    frame.end()


if __name__ == "__main__":
    run()
