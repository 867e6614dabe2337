"""The dashboard: one navigation over the pages, framed alike."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from osler_contracts.errors import OslerError
from osler_dashboard import bank_services, services
from osler_dashboard.components import frame
from osler_dashboard.components.assets import asset

# Streamlit serves a folder named `pages` by itself, without our frame, to whoever opens an address before the first page.
PAGES = Path(__file__).resolve().parent / "views"


def run() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Osler", page_icon=asset("icon.svg"), layout="wide")
    frame.begin()
    st.logo(asset("logo.svg"), size="large")
    page = st.navigation(
        [
            st.Page(PAGES / "study.py", title="Studies", icon=":material/radiology:", default=True),
            st.Page(PAGES / "sites.py", title="Site", icon=":material/tune:"),
            st.Page(PAGES / "knowledge.py", title="Knowledge", icon=":material/menu_book:"),
            st.Page(PAGES / "results.py", title="Results", icon=":material/monitoring:"),
        ],
        position="top",
    )
    note = ""
    try:
        services.workspace()
        page.run()
        note = bank_services.review_notice()
    except OslerError as error:
        frame.nothing(error.message, error.mend)
    frame.end(note)


if __name__ == "__main__":
    run()
