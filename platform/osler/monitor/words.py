"""A report of monitoring in words."""

from __future__ import annotations

import math

from osler.monitor.report import ConceptMove, MonitorReport
from osler_contracts.drift.report import Verdict
from osler_contracts.drift.words import told_p, told_since

# Shares of classes are told where one of them changed by this much.
TOLD = 0.05
# A spread is told from this factor on, up or down.
WIDER = 1.25


def told_move(one: ConceptMove) -> str:
    """Say one concept in one line."""
    e = one.effect
    way = "higher" if e.value > 0 else "lower"
    parts = [f"{one.name}: {abs(e.value):.2f} standard deviations {way} (95% {e.low:+.2f} to {e.high:+.2f})"]
    if not 1 / WIDER <= one.spread <= WIDER:
        parts.append(f"spread {one.spread:.2f} times that of the reference")
    parts.append(told_p(one.p_adjusted))
    if abs(one.by_mix) >= 0.01:
        parts.append(f"a change in the mix of classes alone would bring {one.by_mix:+.2f}")
    if one.since is not None:
        parts.append(told_since(one.since))
        if one.since.onset.inside:
            parts[0] += " from then on"
    if one.alarm is not None:
        parts.append(f"alarm at arrival {one.alarm + 1}")
    return "; ".join(parts)


def report_lines(report: MonitorReport) -> list[str]:
    """Say a report for a person at a terminal."""
    size = (
        f"{report.stream['studies']} patients against {report.reference['studies']} studies of {report.reference['of']}"
    )
    under = "" if report.patch is None else f", under patch {report.patch}"
    count = f"{report.answer}: {len(report.moved)} of {len(report.concepts)} concepts moved"
    lines = [f"{count} ({size}{under}; chance of any false alarm {report.level:g})"]
    shown = [one for one in report.concepts if one.verdict in (Verdict.MOVED, Verdict.SLIGHT)]
    lines += [f"{one.verdict:<8}{told_move(one)}" for one in shown]
    if math.isfinite(report.detectable):
        lines.append(f"a shift below about {report.detectable:.2f} standard deviations may go unseen at this number")
    else:
        lines.append("too few have arrived to see any shift")
    if max(abs(after - before) for before, after in report.classes.values()) >= TOLD:
        told = ", ".join(f"{name} {before:.0%} to {after:.0%}" for name, (before, after) in report.classes.items())
        lines.append(f"estimated mix of classes: {told}")
    return [*lines, report.caveat]
