"""Small pieces of HTML; everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as _escape
from typing import Any

NOTICE = "For research use; not a medical device."
STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #dde2e8; --warm: #8a3b12; }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 36px 0 8px; border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 16px 0 4px; }
.notice { color: var(--soft); margin: 0 0 12px; } .warn { color: var(--warm); font-weight: 600; }
table { border-collapse: collapse; margin: 8px 0; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td small { color: var(--soft); white-space: nowrap; }
.scroll { overflow-x: auto; } figure { margin: 12px 0; } figure svg { max-width: 100%; height: auto; }
figcaption, summary { color: var(--soft); font-size: 13px; } summary { cursor: pointer; margin: 8px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 6px 0; font-size: 13px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; } code { font-size: 12px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 12px; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 4px 12px 10px; }
.card dl { grid-template-columns: 1fr 1fr; }
@media print { main { max-width: none; } details > * { display: block; } h2 { break-after: avoid; } }
"""


def escape(text: Any) -> str:
    """Return a text as HTML."""
    return _escape(str(text), quote=True)


def code(text: str, most: int = 12) -> str:
    """Return the start of a digest or a setting, whole as its title."""
    return f'<code title="{escape(text)}">{escape(text[:most])}</code>'


def section(title: str, body: str) -> str:
    """Return a section; the title is HTML already."""
    return f"<section><h2>{title}</h2>{body}</section>\n"


def grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    top = "".join(f"<th>{one}</th>" for one in heads)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'


def figure(svg: str, caption: str) -> str:
    """Return a drawing with its caption, which is HTML already."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def points(value: float | None) -> str:
    """Return a fraction in points, with one decimal."""
    return "–" if value is None else f"{100 * value:.1f}"


def interval(row: Mapping[str, Any] | None, *, sign: bool = False) -> str:
    """Return a figure with its interval, in points; a dash for what was not measured."""
    if row is None or row.get("value") is None:
        return "–"
    plus = "+" if sign else ""
    text = f"{100 * row['value']:{plus}.1f}"
    if row.get("ci_low") is None:
        return text
    return f"{text} <small>{100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}</small>"


def signed(row: Mapping[str, Any] | None) -> str:
    """Return a difference with its interval, in points."""
    return interval(row, sign=True)
