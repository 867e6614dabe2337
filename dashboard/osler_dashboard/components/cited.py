"""A concept as its reviewer judges it: question, passage in its place, what it speaks for, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from osler_dashboard.components import frame
from osler_dashboard.words import percent, sentence, spoken
from osler_knowledge.concept import Citation, Concept, Figure, PriorEvidence
from osler_knowledge.in_place import InPlace
from osler_knowledge.quality import RAREST

STATUSES = {"proposed": ("Proposed", ""), "accepted": ("Accepted", "good"), "retired": ("Retired", "conflict")}
SAYS = {1: ("for", "o-for"), -1: ("against", "o-against"), 0: ("neither", "")}
EVIDENCE = {"text": "from the text", "server": "by a language model", "by hand": "by hand"}
FIGURES = {
    "learnability": "How well it can be learnt",
    "coverage": "Reports that mention it",
    "groundable": "Rarer answer in reports",
    "stability": "Alike at two sites",
}
_SHARES = {"coverage", "groundable"}


def heading(concept: Concept) -> None:
    """Draw name, status, region, codes and question."""
    word, tone = STATUSES[concept.status]
    codes = "".join(f" · {escape(system)} {escape(code)}" for system, code in concept.codes.items())
    frame.html(
        f'<div class="o-line"><span><b>{escape(sentence(concept.name))}</b> &nbsp; <span class="o-chip {tone}">{word}</span>'
        f'</span><span class="o-quiet">{escape(concept.region)}{codes}</span></div>'
        f'<p class="o-question">{escape(concept.question)}</p>'
    )


def passage(citation: Citation, place: InPlace) -> None:
    """Draw the passage in the text that it stands in."""
    frame.kicker("The passage, in its place")
    before, after = escape(place.before), escape(place.after)
    text = f"{before}<mark>{escape(place.passage)}</mark>{after}".replace("\n", "<br>")
    missing = "" if place.found else '<p class="o-quiet">The text around it is not in this installation.</p>'
    reviewed = "reviewed by a clinician" if place.reviewed else "not clinically reviewed"
    references = "".join(f"<li>{escape(one)}</li>" for one in citation.references)
    source = " · ".join(escape(one) for one in (citation.section, citation.edition, citation.licence, reviewed) if one)
    frame.html(
        f'<div class="o-passage">{text}</div>{missing}'
        f'<p class="o-quiet" style="margin:0"><b>{escape(citation.title)}</b> · {source}</p>'
        f'<ul class="o-refs">{references}</ul>'
    )


def prior(concept: Concept, findings: Sequence[str]) -> None:
    """Draw what the concept says of each finding, with what justifies it; what is unknown is named, not zero."""
    frame.kicker("What it speaks for")
    rows = "".join(_row(finding, concept.prior[finding]) for finding in findings if finding in concept.prior)
    unknown = [spoken(finding).lower() for finding in findings if finding not in concept.prior]
    frame.html(
        f'<table class="o-table o-compact"><thead><tr><th>Finding</th><th>Speaks</th><th>Because</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        + (f'<p class="o-quiet">Unknown, left to the data: {escape(", ".join(unknown))}.</p>' if unknown else "")
    )


def _row(finding: str, one: PriorEvidence) -> str:
    word, tone = SAYS[one.value]
    why = one.citation.passage if one.citation else one.reason
    by = f"{EVIDENCE[one.evidence]}, {one.by}: {one.reason}" if one.by else EVIDENCE[one.evidence]
    return (
        f'<tr><td class="o-nowrap">{escape(spoken(finding))}</td><td class="{tone}"><b>{word}</b></td>'
        f'<td>{escape(why)} <span class="o-quiet">({escape(by)}, {one.confidence:.2f})</span></td></tr>'
    )


def figures(concept: Concept) -> None:
    """Draw what was measured of the concept, or how to have it measured."""
    frame.kicker("Before it is used")
    if not concept.figures:
        frame.html('<p class="o-quiet">Not measured yet: <code>osler knowledge report</code> measures it.</p>')
        return
    rows = "".join(_figure(name, concept.figures.get(name)) for name in FIGURES)
    frame.html(f'<table class="o-table o-compact"><tbody>{rows}</tbody></table>')


def _figure(name: str, one: Figure | None) -> str:
    if one is None:
        return f'<tr><td>{FIGURES[name]}</td><td class="o-quiet" colspan="3">too few studies to measure</td></tr>'

    def say(value: float) -> str:
        return percent(value) if name in _SHARES else f"{value:.2f}"

    between = "" if one.low is None or one.high is None else f"{say(one.low)} to {say(one.high)}"
    rare = name == "groundable" and one.value < RAREST
    flag = ' <span class="o-chip conflict">too rare to learn</span>' if rare else ""
    return (
        f'<tr><td>{FIGURES[name]}{flag}</td><td class="n o-nowrap"><b>{say(one.value)}</b></td>'
        f'<td class="o-quiet o-nowrap">{between}</td><td class="o-quiet">{one.n:,} {escape(one.source)}</td></tr>'
    )
