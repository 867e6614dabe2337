"""What moved at the door: the latest comparison of a site's arrivals with its reference profile."""

from __future__ import annotations

from datetime import date, datetime
from html import escape

import streamlit as st

from osler_contracts.drift.fields import FIELDS
from osler_contracts.drift.report import Change, DriftReport, FieldResult, Since, Verdict
from osler_contracts.drift.words import told_side, word
from osler_dashboard.components import frame
from osler_dashboard.services import DriftState
from osler_dashboard.words import sentence

ANSWERS = {
    Verdict.MOVED: ("Moved", "conflict"),
    Verdict.SLIGHT: ("Steady", "good"),
    Verdict.STEADY: ("Steady", "good"),
    Verdict.TOO_FEW: ("Too few to tell", ""),
}
AT_ONCE = 6


def draw(site: str, state: DriftState) -> None:
    """Draw which field moved, from what to what, since when and how sure that is; or what is missing for an answer."""
    frame.kicker("What moved at the door")
    if not state.has_profile:
        _say(f"No reference profile yet: make one with `osler drift profile --site {site}`.")
        return
    if state.checked is None:
        _say(f"Not compared with the reference profile yet: `osler drift check --site {site}` does.")
        return
    report = state.checked.report
    label, tone = ANSWERS[report.answer]
    frame.html(
        f'<div class="o-line"><span><span class="o-chip {tone}">{label}</span> &nbsp; {escape(_sizes(report))}</span></div>'
    )
    moved = report.with_verdict(Verdict.MOVED)
    if moved:
        frame.html(_table(moved[:AT_ONCE]))
    if moved[AT_ONCE:]:
        with st.expander(f"{len(moved) - AT_ONCE} more"):
            frame.html(_table(moved[AT_ONCE:]))
    _say(_limits(report))
    _say(_when(state))


def _say(text: str) -> None:
    if text:
        frame.html(f'<p class="o-quiet">{frame.with_commands(text)}</p>')


def _sizes(report: DriftReport) -> str:
    compared = [one for one in report.fields if one.verdict is not Verdict.NOT_COMPARED]
    if not compared:
        return "Nothing has arrived since the reference was made."
    units = f"{report.unit}s"
    return (
        f"{len(report.moved)} of {len(compared)} things watched, in {report.batch['units']:,} {units} since the "
        f"reference of {report.reference['units']:,}"
    )


def _table(results: tuple[FieldResult, ...]) -> str:
    rows = "".join(_row(result) for result in results)
    return (
        '<table class="o-table"><thead><tr><th>What</th><th>Before</th><th>Now</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(result: FieldResult) -> str:
    field, change = FIELDS[result.name], result.change
    before, now = ("", "") if change is None else _sides(result.name, change)
    since = "" if result.since is None else _since(result.since)
    sure = " ".join(part for part in (since, _sure(result)) if part)
    return (
        f"<tr>{_cell(f'<b>{escape(sentence(field.words))}</b>')}{_cell(escape(before))}{_cell(escape(now))}</tr>"
        f'<tr><td class="o-quiet" colspan="3" style="padding-top:0">{escape(sure)}</td></tr>'
    )


def _cell(content: str) -> str:
    """Return a cell that goes on in the line below, which says since when and how sure."""
    return f'<td style="border-bottom:0;padding-bottom:0">{content}</td>'


def _sides(name: str, change: Change) -> tuple[str, str]:
    before, now = (told_side(name, change, figures) for figures in (change.before, change.after))
    if change.kind == "new":
        return "none", f"{word(change.of)}: {now}"
    if change.kind == "share":
        return f"{word(change.of)}: {before}", f"{word(change.of)}: {now}"
    how = "typically" if change.kind == "median" else "mostly"
    return f"{how} {before}", f"{how} {now}"


def _since(since: Since) -> str:
    """Say since when; the interval where it spans more than a day."""
    if not since.onset.inside:
        return f"Since the first arrival compared, {_day(since.started)}, or earlier."
    first, last = _day(since.earliest), _day(since.latest)
    between = f" (between {first} and {last})" if first != last else ""
    return f"Since {_day(since.started)}{between}, arrival {since.onset.at + 1} of {since.arrivals}."


def _sure(result: FieldResult) -> str:
    """Say how likely chance alone would do this, and whether the move is large."""
    p = result.p_adjusted
    chance = "less than 1 in 1,000" if p < 0.001 else f"about 1 in {round(1 / p):,}"
    size = (
        "Large" if result.psi_interval[0] >= 0.25 else "Clear" if result.psi_interval[0] >= 0.1 else "Small or moderate"
    )
    return f"{size}; by chance alone {chance}."


def _limits(report: DriftReport) -> str:
    few = report.with_verdict(Verdict.TOO_FEW)
    if not few:
        return ""
    # PSI of a normal that shifts by d standard deviations is d squared.
    spread = max(one.detectable for one in few) ** 0.5
    return f"{len(few)} more cannot be told with so few: a shift of {spread:.1f} standard deviations could go unseen."


def _when(state: DriftState) -> str:
    assert state.checked is not None
    told = f"Compared on {_day(state.checked.when)}."
    if state.newer == 1:
        return f"{told} 1 study has arrived since then."
    return f"{told} {state.newer:,} studies have arrived since then." if state.newer else told


def _day(moment: str | None) -> str:
    """Say the day of a moment in ISO 8601."""
    if not moment:
        return "an unknown day"
    at: date = datetime.fromisoformat(moment)
    return f"{at.day} {at:%B %Y}"
