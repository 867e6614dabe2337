"""Markup, style and script of the components, shipped inside the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "assets"


@cache
def asset(name: str) -> str:
    """Return the text of a shipped file."""
    return (_FOLDER / name).read_text(encoding="utf-8")
