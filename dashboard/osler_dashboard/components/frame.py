"""What frames every page: the style, the line that is always there, and what is said where there is nothing to show."""

from __future__ import annotations

import re
from functools import reduce
from html import escape

import streamlit as st

from osler_dashboard.components.assets import asset

LOGO_LIGHT, LOGO_DARK = ("#1C2730", "#1F5F99", "#C25E12"), ("#EAE7E0", "#8CC0F0", "#F2A765")
MARKS = re.compile(r"[\\`*_{}\[\]()#+\-.!|~:$<>&]")
COMMAND = re.compile("`([^`]+)`")
RESEARCH_USE = "Research use only. Not a medical device."


def html(text: str) -> None:
    """Draw markup of ours; values in it are escaped by who builds it."""
    st.html(text)


def begin() -> None:
    """Set the style; called once before the page."""
    st.html(f"<style>{asset('theme.css')}{asset('study.css')}</style>")


def logo() -> str:
    """Return the logo in the ink of the theme that the reader has chosen."""
    drawn = asset("logo.svg")
    if st.context.theme.type != "dark":
        return drawn
    return reduce(lambda text, pair: text.replace(*pair), zip(LOGO_LIGHT, LOGO_DARK, strict=True), drawn)


def end(note: str = "") -> None:
    """Draw the line that is on every page."""
    html(f'<div class="o-foot"><b>{RESEARCH_USE}</b><span>{escape(note)}</span></div>')


def plain(text: str) -> str:
    """Return a text that a label, which Streamlit reads as Markdown, shows as it is."""
    return MARKS.sub(r"\\\g<0>", text)


def kicker(text: str) -> None:
    """Draw the small line above a block."""
    html(f'<p class="o-kicker">{escape(text)}</p>')


def phantom_chip(phantom: bool) -> str:
    """Return the mark of a simulated study, or nothing."""
    return '<span class="o-chip phantom" title="A simulated image, no patient">Phantom</span>' if phantom else ""


def nothing(title: str, what_to_do: str) -> None:
    """Say in one friendly sentence that there is nothing to show, and what to do about it."""
    html(f'<div class="o-empty"><h2>{escape(title)}</h2><p class="o-quiet">{with_commands(what_to_do)}</p></div>')


def with_commands(text: str) -> str:
    """Return a text as markup, what stands in backticks as commands."""
    return COMMAND.sub(r"<code>\1</code>", escape(text))
