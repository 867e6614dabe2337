"""The finding, its certainty, and what moved it."""

from __future__ import annotations

from datetime import date
from html import escape

from osler.explain.explanation import Explanation, Finding
from osler_dashboard.components import frame
from osler_dashboard.words import percent, sentence, site_name, spoken

DECISIONS = {
    "called": "above the point from which it is called ({})",
    "not called": "below the point from which it is called ({})",
}


def certainty(finding: Finding) -> float:
    """Return the probability to show: calibrated where the model was, raw where not."""
    held = finding.calibrated_probability
    return finding.raw_probability if held is None else held


def said(finding: Finding) -> str:
    """Say a finding with its probability."""
    return f"{spoken(finding.id)} {percent(certainty(finding))}"


def headline(explanation: Explanation, chips: str) -> None:
    """Draw finding, probability and runner-up; then what a correction or the site's patch moved."""
    finding, runner_up = explanation.finding, explanation.runner_up
    share = certainty(finding)
    frame.html(
        f'<div class="o-finding"><h1>{escape(spoken(finding.id))} {chips}</h1>'
        f'<div class="o-number">{percent(share)}</div></div>'
        f'<div class="o-split"><i style="width:{100 * share:.1f}%"></i><i style="flex:1"></i></div>'
        f'<div class="o-line"><span>Runner-up: <b>{escape(said(runner_up))}</b></span>'
        f'<span class="o-quiet">{escape(_secondary(explanation))}</span></div>' + _moved(explanation)
    )


def _secondary(explanation: Explanation) -> str:
    finding, calibration = explanation.finding, explanation.calibration
    parts = []
    if finding.decision in DECISIONS and finding.operating_point is not None:
        parts.append(DECISIONS[finding.decision].format(percent(finding.operating_point)))
    if finding.calibrated_probability is None:
        parts.append("probability not calibrated")
    else:
        where = (
            "the source hospital" if calibration["site"] in (None, "source") else site_name(str(calibration["site"]))
        )
        parts.append(
            f"calibrated on {calibration['studies']} studies of {where}, raw {percent(finding.raw_probability)}"
        )
        if not explanation.calibrated_here:
            parts[-1] += ", unmeasured here"
    return sentence("; ".join(parts))


def _moved(explanation: Explanation) -> str:
    before, now = explanation.finding_uncorrected, said(explanation.finding)
    if before is not None:
        return f'<div class="o-moved">Before your correction <s>{escape(said(before))}</s> → now <b>{escape(now)}</b></div>'
    patch = explanation.patch
    if patch is None:
        return ""
    does = (("ignores", len(patch.masked)), ("amplifies", len(patch.amplified)))
    done = " and ".join(f"{verb} {count} sign{'s' if count > 1 else ''}" for verb, count in does if count)
    made = date.fromisoformat(patch.created)
    return (
        f'<div class="o-moved o-patch">Adjusted to {escape(site_name(explanation.site or ""))} since '
        f"{made.day} {made:%B %Y}: {escape(done)}. Without it: <b>{escape(said(patch.finding_without))}</b></div>"
    )
