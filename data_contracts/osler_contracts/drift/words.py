"""A report in words, for the command line and the dashboard."""

from __future__ import annotations

import math
from datetime import datetime

from osler_contracts.drift.fields import FIELDS
from osler_contracts.drift.report import Change, DriftReport, FieldResult, Since, Verdict

# Defined words that say little by themselves.
_SYNTAXES = {
    "1.2.840.10008.1.2": "uncompressed, implicit VR",
    "1.2.840.10008.1.2.1": "uncompressed",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "uncompressed, big endian",
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE lossless",
}


def word(text: str) -> str:
    """Say a word or cell of a vocabulary."""
    return _SYNTAXES.get(text, text.strip("()"))


def figure(value: float) -> str:
    """Write a figure with three digits that count, thousands in full."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def told_change(name: str, change: Change) -> str:
    """Say what changed: `median 120 kV, now 90 kV`, or `AP: 25%, now 61%`."""
    before, after = told_side(name, change, change.before), told_side(name, change, change.after)
    if change.kind == "new":
        return f"new: {word(change.of)}, {after}"
    what = f"{word(change.of)}:" if change.kind == "share" else change.kind
    return f"{what} {before}, now {after}"


def told_side(name: str, change: Change, figures: tuple[float, ...]) -> str:
    """Say the figure of one side with its unit."""
    if change.kind in ("share", "new"):
        return share(figures[0])
    unit = FIELDS[name].unit
    return " to ".join(figure(x) for x in figures) + (f" {unit}" if unit else "")


def share(fraction: float) -> str:
    """Write a share without rounding a few away."""
    if 0 < fraction < 0.01:
        return "< 1%"
    return "> 99%" if 0.99 < fraction < 1 else f"{100 * fraction:.0f}%"


def told_p(p: float) -> str:
    """Write an adjusted chance."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def told_since(since: Since) -> str:
    """Say since when, with its interval: arrivals are counted from 1."""
    onset, day = since.onset, _day(since.started)
    if not onset.inside:
        when = f", {day}," if day else ""
        return f"since the first arrival compared{when} or earlier"
    span = f"between {onset.low + 1} and {onset.high + 1}"
    run = f" (run {since.run}, {day})" if since.run is not None else ""
    return f"since arrival {onset.at + 1} of {since.arrivals}{run}, 95% {span}"


def _day(moment: str | None) -> str:
    if not moment:
        return ""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {at:%B %Y}"


def told_result(result: FieldResult) -> str:
    """Say one field in one line."""
    parts = [FIELDS[result.name].words]
    if result.change is not None:
        parts[0] += f": {told_change(result.name, result.change)}"
    low, high = result.psi_interval
    parts.append(f"PSI {result.psi:.2f} ({low:.2f} to {high:.2f}), {told_p(result.p_adjusted)}")
    if result.since is not None:
        parts.append(told_since(result.since))
    return "; ".join(parts)


def report_lines(report: DriftReport) -> list[str]:
    """Say a report for a person at a terminal."""
    units, unit = report.batch.get("units", 0), report.unit
    if not units:
        return ["Nothing has arrived since the reference was made."]
    compared = [one for one in report.fields if one.verdict is not Verdict.NOT_COMPARED]
    sizes = f"{units:,} {unit}s against {report.reference['units']:,} of the reference, level {report.level:g}"
    lines = [f"{report.answer}: {len(report.moved)} of {len(compared)} fields moved ({sizes})"]
    shown = (*report.with_verdict(Verdict.MOVED), *report.with_verdict(Verdict.SLIGHT))
    lines += [f"{one.verdict:<8}{one.name}, {told_result(one)}" for one in shown]
    few = report.with_verdict(Verdict.TOO_FEW)
    if few:
        least = max(one.detectable for one in few)
        lines.append(f"too few {len(few)} fields: at this size, a PSI below {_up(least)} may go unseen")
    return lines


def _up(value: float) -> str:
    return f"{math.ceil(100 * value) / 100:.2f}"
