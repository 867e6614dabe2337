"""One sign in full: what was asked, what was seen and where, what the text says, and the reader's own answer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from osler.explain.explanation import ConceptReading, Explanation
from osler_dashboard.components import frame, passages
from osler_dashboard.components.signs import seen
from osler_dashboard.words import signed, spoken

SAYS = {1: "speaks for", -1: "speaks against", 0: "says nothing for or against", None: "has no statement on"}
MAP_CAPTION = "where the encoder's features match this concept; not validated"
NO_MAP = "location unavailable"


def facts(reading: ConceptReading, first: ConceptReading, explanation: Explanation, mapped: bool) -> None:
    """Draw question and facts.

    Args:
        reading: The sign, as corrected.
        first: The sign as it was found.
        explanation: The explanation that it belongs to.
        mapped: Whether its map lies over the image.
    """
    finding, runner_up = (spoken(one.id).lower() for one in (explanation.finding, explanation.runner_up))
    rows = {
        "Found": f"{seen(first.probability)}" + ("" if reading.state == "as scored" else f"; {reading.state}"),
        "Adds": f"{signed(reading.contribution)} {_side(reading, finding, runner_up)}",
        "Region": reading.region,
        "Where": MAP_CAPTION if mapped else NO_MAP,
        "Text": f"{SAYS[reading.prior]} {finding}; {SAYS[reading.prior_runner_up]} {runner_up}",
    }
    table = "".join(f"<i>{name}</i><span>{escape(value)}</span>" for name, value in rows.items())
    conflict = (
        '<p><span class="o-chip conflict">Against the text</span> '
        '<span class="o-quiet">the model counts this sign the other way round</span></p>'
        if reading.conflict
        else ""
    )
    frame.html(f'<p class="o-question">{escape(reading.question)}</p><div class="o-facts">{table}</div>{conflict}')


def _side(reading: ConceptReading, finding: str, runner_up: str) -> str:
    if reading.direction == "neither":
        return "to either"
    return f"for {finding if reading.direction == 'for' else runner_up}"


def evidence_text(reading: ConceptReading, paragraphs: Sequence[str]) -> None:
    """Draw the passages behind the question and the prior, in the paragraphs that they come from.

    Args:
        reading: The sign.
        paragraphs: Those of the entry that the passage comes from.
    """
    cited = [reading.citation]
    prior = reading.prior_citation
    if prior is not None and prior.entry == reading.citation.entry:
        cited.append(prior)
    text = passages.in_context([one.passage for one in cited], paragraphs)
    frame.html(
        f'<p class="o-kicker o-heading">{escape(reading.citation.heading)}</p>{text}{passages.source(reading.citation)}'
    )
