"""The finding, how sure the model is of it at this hospital, what moved it, and what is to be known beside it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from osler.calibrate.words import GROUP
from osler.explain import cautions
from osler.explain.explanation import Explanation, ExplanationWarning, Finding
from osler_dashboard.components import frame
from osler_dashboard.words import day, percent, sentence, site_name, spoken

DECISIONS = {
    "called": "above the point from which it is called ({})",
    "not called": "below the point from which it is called ({})",
}
UNKNOWN, UNMEASURED = "I do not know", "unmeasured here"
TOLD = {
    cautions.CALIBRATION_NOT_IN_FORCE: "How sure the model is was measured at this hospital once, but this no longer holds.",
    cautions.PATCH_EXPIRED: "The adjustment to this hospital has expired; the model works without it.",
    cautions.RESIDUAL: "Part of this finding does not come from the signs listed here.",
    cautions.SITE_DRIFTED: "The images of this hospital have changed since the model was set up here.",
    cautions.CONCEPTS_MOVED: "Signs come out otherwise at this hospital than where the model was made.",
    cautions.UNLIKE_SOURCE[
        "concepts"
    ]: "The signs of this study are together unlike those of the studies the model was made on.",
    cautions.UNLIKE_SOURCE["image features"]: "This image is unlike those that the model was made on.",
}


def certainty(finding: Finding) -> float:
    """Return the probability to show: calibrated where the model was, raw where not."""
    held = finding.calibrated_probability
    return finding.raw_probability if held is None else held


def said(finding: Finding) -> str:
    """Say a finding with its probability."""
    return f"{spoken(finding.id)} {percent(certainty(finding))}"


def headline(explanation: Explanation, chips: str) -> None:
    """Draw finding, probability and runner-up; how sure that is here; what a correction or the site's patch moved."""
    finding, runner_up = explanation.finding, explanation.runner_up
    share = certainty(finding)
    frame.html(
        f'<div class="o-finding"><h1>{escape(spoken(finding.id))} {chips}</h1>'
        f'<div class="o-number">{percent(share)}</div></div>'
        f'<div class="o-split"><i style="width:{100 * share:.1f}%"></i><i style="flex:1"></i></div>'
        f'<div class="o-line"><span>Runner-up: <b>{escape(said(runner_up))}</b></span>'
        f'<span class="o-quiet">{escape(_secondary(explanation))}</span></div>'
        + _sure(explanation)
        + _moved(explanation)
        + _beside(explanation.warnings)
    )


def _secondary(explanation: Explanation) -> str:
    finding, calibration = explanation.finding, explanation.calibration
    parts = []
    if finding.decision in DECISIONS and finding.operating_point is not None:
        parts.append(DECISIONS[finding.decision].format(percent(finding.operating_point)))
    if finding.calibrated_probability is None:
        parts.append("probability not calibrated")
    else:
        source = calibration["site"] in (None, "source")
        where = "the source hospital" if source else site_name(str(calibration["site"]))
        parts.append(
            f"calibrated on {calibration['studies']} studies of {where}, raw {percent(finding.raw_probability)}"
        )
        if not explanation.calibrated_here:
            parts[-1] += f", {UNMEASURED}"
    return sentence("; ".join(parts))


def _sure(explanation: Explanation) -> str:
    """Say the set of possible findings, that the model does not know, or that nobody measured how sure it is here."""
    held = explanation.prediction_set
    if held is None:
        why = "you have corrected signs" if explanation.corrections else "no labelled studies of this hospital yet"
        return f'<div class="o-sure"><span class="o-chip">Certainty {UNMEASURED}</span><span class="o-quiet">{why}</span></div>'
    names = [spoken(one) for one in held.classes]
    told = escape(f"In {percent(held.coverage)} of like studies here the truth is in such a set. {GROUP}")
    if len(names) == 1:
        return f'<div class="o-sure"><span class="o-chip good">Only {escape(names[0])}</span><span class="o-quiet">{told}</span></div>'
    why = f"cannot tell apart: {', '.join(names)}." if names else "unlike the studies of every finding measured here."
    return (
        f'<div class="o-sure"><span class="o-chip unknown">{UNKNOWN}</span>'
        f'<span><b>{escape(sentence(why))}</b> <span class="o-quiet">{told}</span></span></div>'
    )


def _moved(explanation: Explanation) -> str:
    before, now = explanation.finding_uncorrected, said(explanation.finding)
    if before is not None:
        return f'<div class="o-moved">Before your correction <s>{escape(said(before))}</s> → now <b>{escape(now)}</b></div>'
    patch = explanation.patch
    if patch is None:
        return ""
    does = (("ignores", len(patch.masked)), ("amplifies", len(patch.amplified)))
    done = " and ".join(f"{verb} {count} sign{'s' if count > 1 else ''}" for verb, count in does if count)
    done = done or "weighs signs otherwise"
    until = f", until {day(patch.expires)}" if patch.expires else ""
    return (
        f'<div class="o-moved o-patch">Adjusted to {escape(site_name(explanation.site or ""))} since '
        f"{day(patch.created)}{until}: {escape(done)}. Without it: <b>{escape(said(patch.finding_without))}</b></div>"
    )


def _beside(warned: Iterable[ExplanationWarning]) -> str:
    """Draw what concerns the finding; what concerns the files stands below the image."""
    own = [TOLD[one.code] for one in warned if one.code in TOLD]
    items = "".join(f"<li>{escape(one)}</li>" for one in own)
    return f'<ul class="o-warned" aria-label="Warnings">{items}</ul>' if own else ""
