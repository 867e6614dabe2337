"""The dashboard: one navigation over the pages that a person may see, framed alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import streamlit as st

from osler.access import Person
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import bank_services, mishaps, services, session
from osler_dashboard.components import frame, signing
from osler_dashboard.components.assets import asset
from osler_dashboard.pages import PAGES, Listing, address, listed


def run() -> None:
    """Draw the page that the address names, for who is signed in."""
    st.set_page_config(page_title="Osler", page_icon=asset("icon.svg"), layout="wide")
    frame.begin()
    st.logo(frame.logo(), size="large")
    try:
        services.workspace()
        person = session.begin()
    except OslerError as error:
        _outside(error)
        return
    page = st.navigation(_pages(person), position="top")
    signing.account(person)
    signing.watch()
    note = ""
    try:
        page.run()
        note = bank_services.review_notice()
    except OslerError as error:
        if error.code is Code.SESSION_EXPIRED:
            st.rerun()
        frame.nothing(error.message, error.mend)
    frame.end(note)


def _pages(person: Person) -> list[Any]:
    """Return the pages: those that the person may see, and behind the addresses of the others a sentence.

    The first page has an address of its own too, which Streamlit would deny it if it were the default one.
    """
    mine = [page for page in listed() if page.open_to(person)]
    return [
        st.Page(partial(_first, mine), title="Osler", default=True, visibility="hidden"),
        *(st.Page(page.path, title=page.title, icon=page.icon) for page in mine),
        *_hidden([page for page in listed() if page not in mine], _closed),
    ]


def _first(mine: list[Listing]) -> None:
    """Go to the first page, or to the study that an address without a page names."""
    names = [page.name for page in mine]
    named = st.query_params.get("study")
    if named and "study" in names:
        st.switch_page(address("study"), query_params={"study": named})
    if names:
        st.switch_page(address(names[0]))
    frame.nothing("You have no page here.", "Ask who manages the accounts to give you a role.")


def _hidden(pages: Iterable[Listing], drawn: Callable[[Listing], Callable[[], None]]) -> list[Any]:
    return [st.Page(drawn(page), title=page.title, url_path=page.name, visibility="hidden") for page in pages]


def _closed(page: Listing) -> Callable[[], None]:
    return partial(
        frame.nothing, f"{page.title} is not among your pages.", "Ask who manages the accounts if it should be."
    )


def _outside(error: OslerError) -> None:
    """Draw what a person sees who is not, or no longer, signed in; the address stays what it was."""

    def drawn(_page: Listing | None = None) -> Callable[[], None]:
        return partial(signing.outside, error)

    st.navigation([st.Page(drawn(), title="Osler", default=True), *_hidden(PAGES, drawn)], position="hidden").run()
    frame.end()


if __name__ == "__main__":
    try:
        run()
    except OslerError as error:
        frame.nothing(error.message, mishaps.sentence(mishaps.note(error)))
