"""An explanation as one page that loads nothing and runs nothing, for a clinician to read or print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from osler.explain.cautions import ABSTAINS
from osler.explain.explanation import (
    NO_LOCATION,
    UNMEASURED,
    ConceptReading,
    Explanation,
    Finding,
    Measured,
)

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--soft:#566472;--paper:#fff;--line:#d5dce3;--for:#0b6e99;--against:#b35900;
--note:#fff4dc;--edge:#c98500}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#a3b0bc;--paper:#141a20;--line:#333e49;--for:#5bb8e0;
--against:#f0a050;--note:#33290f;--edge:#c98500}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:1.8rem 0 .4rem}p{margin:.3rem 0;max-width:48rem}
.soft{color:var(--soft);font-size:.9rem}.note{background:var(--note);border-left:4px solid var(--edge);
padding:.5rem .8rem;max-width:none;margin:.4rem 0}
table{border-collapse:collapse;width:100%;font-size:.93rem}
th{text-align:left;border-bottom:2px solid var(--line);padding:.3rem .6rem .3rem 0}
td{vertical-align:top;border-bottom:1px solid var(--line);padding:.4rem .6rem .4rem 0}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
.bar{display:inline-block;width:9rem;height:.7rem;position:relative;border-left:0}
.bar i{position:absolute;top:0;bottom:0;display:block}.bar b{position:absolute;left:50%;top:-.1rem;bottom:-.1rem;
border-left:1px solid var(--soft)}
.for{background:var(--for)}.against{background:repeating-linear-gradient(45deg,var(--against) 0 3px,transparent 3px 5px);
outline:1px solid var(--against)}
.tag{border:1px solid var(--line);border-radius:.3rem;padding:0 .3rem;font-size:.85rem;white-space:nowrap}
details{margin:.1rem 0}summary{cursor:pointer}blockquote{margin:.3rem 0;padding-left:.7rem;
border-left:3px solid var(--line)}footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.5rem}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SEEN = {
    "present": "present",
    "absent": "absent",
    "uncertain": "uncertain",
    "ignored": "ignored at this site",
}
_PRIOR = {1: "speaks for", -1: "speaks against", 0: "says nothing for or against", None: "has no statement on"}


def page(one: Explanation) -> str:
    """Return the page.

    Args:
        one: The explanation; every word of it is escaped.
    """
    title = f"{spoken(one.finding.id)}: why the model says so"
    body = [
        *_heading(one),
        *_warnings(one),
        *_signs(one),
        *_changing(one),
        *_patch(one),
        *_similar(one),
        *_provenance(one),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    lines = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{lines}\n</body></html>\n'


def spoken(name: str) -> str:
    """Say a name with spaces and a capital."""
    said = name.replace("_", " ").strip()
    return said[:1].upper() + said[1:]


def percent(share: float) -> str:
    """Say a probability as whole percents; never as certain."""
    return "under 1%" if share < 0.01 else "over 99%" if share > 0.99 else f"{share:.0%}"


def certainty(finding: Finding) -> str:
    """Say how sure the model is, and whether that was calibrated."""
    if finding.calibrated_probability is None:
        return f"{percent(finding.raw_probability)}, not calibrated"
    return f"{percent(finding.calibrated_probability)}, calibrated"


def figure(one: Measured | None) -> str:
    """Say a figure with its interval."""
    if one is None:
        return UNMEASURED
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f}; {one.studies} studies, {one.present} with the sign)"


def _heading(one: Explanation) -> Iterator[str]:
    yield f"<h1>{escape(spoken(one.finding.id))} <span class='soft'>{escape(certainty(one.finding))}</span></h1>"
    where = "" if one.site is None else f" · {spoken(one.site)}"
    yield _soft(f"Study {one.study}{where}")
    raw = f"Before calibration {percent(one.finding.raw_probability)}."
    point = one.finding.operating_point
    called = "" if point is None else f" It is called from {percent(point)} on: {one.finding.decision}."
    here = "" if one.calibrated_here else " The probability was not measured at this hospital."
    yield f"<p>Next comes <b>{escape(spoken(one.runner_up.id))}</b> ({escape(certainty(one.runner_up))}). "
    yield f'<span class="soft">{escape(raw + called + here)}</span></p>'
    if one.prediction_set is not None:
        classes = " or ".join(spoken(name) for name in one.prediction_set.classes) or "none of the known findings"
        yield f"<p>Possible by this hospital's calibration: <b>{escape(classes)}</b>. "
        yield f'<span class="soft">{escape(one.prediction_set.sentence)}</span></p>'
    elif one.corrections:
        yield _soft("Which findings are possible was measured without a reader's corrections.")
    else:
        yield _soft("Which findings are possible was not measured at this hospital.")
    if one.abstains:
        yield f"<p><b>{escape(one.abstains_because)}</b></p>"
    if one.finding_uncorrected is not None:
        yield f"<p>Before the reader's corrections: {escape(spoken(one.finding_uncorrected.id))}.</p>"


def _warnings(one: Explanation) -> Iterator[str]:
    for warning in one.warnings:
        if warning.code == ABSTAINS:
            continue  # it stands under the finding
        yield f'<p class="note">{escape(warning.message)} <span class="soft">[{escape(warning.code)}]</span></p>'


def _signs(one: Explanation) -> Iterator[str]:
    finding, other = (escape(spoken(name).lower()) for name in (one.finding.id, one.runner_up.id))
    yield f"<h2>Signs for {finding}, and against it</h2>"
    yield (
        f'<p class="soft">Each bar is what a sign adds to the lead of {finding} over {other} ({one.margin:+.2f} in all, '
        f"{one.baseline:+.2f} of it without any sign{_beside(one)}). Striped bars speak for {other}.</p>"
    )
    first = [one.concept(name) for name in one.first]
    more = [one.concept(name) for name in one.shown if name not in one.first]
    reach = max((abs(reading.contribution) for reading in one.concepts), default=0.0)
    yield from _table(first, one, reach)
    if more:
        yield f"<details><summary>{len(more)} more signs, each of less weight</summary>"
        yield from _table(more, one, reach)
        yield "</details>"


def _beside(one: Explanation) -> str:
    return f", {one.residual:+.2f} past the signs" if one.residual else ""


def _table(readings: Iterable[ConceptReading], one: Explanation, reach: float) -> Iterator[str]:
    yield "<table><tr><th>Sign</th><th>Seen</th><th>Adds</th><th>What is known of it</th></tr>"
    for reading in readings:
        yield (
            f"<tr><td>{escape(spoken(reading.name))}<br><span class='soft'>{escape(reading.question)}</span></td>"
            f"<td>{_seen(reading)}</td><td class='n'>{_bar(reading, reach)} {reading.contribution:+.2f}</td>"
            f"<td>{_known(reading, one)}</td></tr>"
        )
    yield "</table>"


def _seen(reading: ConceptReading) -> str:
    said = _SEEN[reading.seen]
    if reading.state == "corrected":
        return f'{escape(said)} <span class="tag">reader</span>'
    if reading.probability is None:
        return escape(said)
    return f'{escape(said)}<br><span class="soft">{escape(percent(reading.probability))}</span>'


def _bar(reading: ConceptReading, reach: float) -> str:
    width = 50 * abs(reading.contribution) / reach if reach else 0
    side = f"left:50%;width:{width:.1f}%" if reading.contribution >= 0 else f"right:50%;width:{width:.1f}%"
    kind = "for" if reading.contribution >= 0 else "against"
    return f'<span class="bar"><i class="{kind}" style="{side}"></i><b></b></span>'


def _known(reading: ConceptReading, one: Explanation) -> str:
    finding, other = spoken(one.finding.id).lower(), spoken(one.runner_up.id).lower()
    place = NO_LOCATION if reading.location != "validated" else "its map is shown in the viewer"
    rows = [f"Shows in: {reading.region}; {place}"]
    rows.append(f"The text {_PRIOR[reading.prior]} {finding} and {_PRIOR[reading.prior_runner_up]} {other}")
    rows.append(f"Recognised here (area under the curve): {figure(reading.grounding_here)}")
    if reading.grounding_source is not None:
        rows.append(f"At the source: {figure(reading.grounding_source)}")
    if reading.state not in ("as scored", "corrected"):
        rows.append(spoken(reading.state))
    conflict = '<br><span class="tag">against the text</span>' if reading.conflict else ""
    cited = reading.citation
    passage = (
        f"<details><summary>Passage</summary>{_soft(cited.heading)}"
        f"<blockquote>{escape(cited.passage)}</blockquote><p class='soft'>{escape(cited.title)}"
        f"{''.join('; ' + escape(one) for one in cited.references)}</p></details>"
    )
    return f'<span class="soft">{"<br>".join(map(escape, rows))}</span>{conflict}{passage}'


def _soft(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'


def _changing(one: Explanation) -> Iterator[str]:
    change = one.would_change
    if change is None:
        return
    items = "".join(
        f"<li>{escape(spoken(held.name))}: now above {held.percentile:.0%} of the source's studies, "
        f"then above {held.percentile_needed:.0%}</li>"
        for held in change.changes
    )
    yield f"<h2>What would change the model</h2><p>{escape(change.sentence)}</p>{items and f'<ul>{items}</ul>'}"
    yield _soft(change.notice)


def _patch(one: Explanation) -> Iterator[str]:
    patch = one.patch
    if patch is None:
        return
    yield "<h2>Adjusted to this hospital</h2>"
    yield f"<p>{escape(patch.reason)}</p>"
    yield from map(_soft, patch.edits)
    yield (
        f"<p>Without it: <b>{escape(spoken(patch.finding_without.id))}</b>; the lead of "
        f"{escape(spoken(one.finding.id).lower())} is {patch.margin_with:+.2f} with it and "
        f"{patch.margin_without:+.2f} without.</p>"
    )


def _similar(one: Explanation) -> Iterator[str]:
    if not one.similar:
        return
    yield "<h2>Archived studies with similar signs</h2>"
    if one.similar_among is not None:
        yield _soft(one.similar_among.sentence)
    yield "<table><tr><th>Study</th><th>Hospital</th><th>Model says</th><th>Known as</th><th>Review</th></tr>"
    for held in one.similar:
        cells = (
            held.study,
            spoken(held.site),
            spoken(held.finding),
            spoken(held.label) if held.label else "unknown",
            held.review,
        )
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    yield "</table>"


def _provenance(one: Explanation) -> Iterator[str]:
    names = f"Model {one.model[:12]} · concept bank {one.bank[:12]}"
    patch = "" if one.patch is None else f" · site patch {one.patch.id}"
    yield f'<footer class="soft">{escape(one.notice)} {escape(names + patch)}</footer>'
