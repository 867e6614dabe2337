"""One sign in full: what was asked, what was seen and where, how reliable that is here, and what the text says."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from osler.explain.explanation import NO_LOCATION, UNMEASURED, ConceptReading, Explanation, Measured
from osler.explain.reading import CORRECTED
from osler_dashboard.components import frame, passages
from osler_dashboard.components.signs import seen
from osler_dashboard.words import percent, sentence, signed, spoken

SAYS = {1: "speaks for", -1: "speaks against", 0: "says nothing for or against", None: "has no statement on"}
MAP_SHOWN = "over the image"
MAP_OF_THE_MODEL = "you set this sign; a map over the image is of what the model saw"


def facts(reading: ConceptReading, first: ConceptReading, explanation: Explanation) -> None:
    """Draw name, question and facts.

    Args:
        reading: The sign, as corrected.
        first: The sign as it was found.
        explanation: The explanation that it belongs to.
    """
    finding, runner_up = (spoken(one.id).lower() for one in (explanation.finding, explanation.runner_up))
    ignored = first.state == "ignored at this site"
    rows = {
        "Found": seen(first) + ("" if ignored or reading.state == "as scored" else f"; {reading.state}"),
        "Adds": f"{signed(reading.contribution)} {_side(reading, finding, runner_up)}",
        "Region": reading.region,
        "Where": _where(reading),
        "Reliable": reliability(reading),
        "Text": f"{SAYS[reading.prior]} {finding}; {SAYS[reading.prior_runner_up]} {runner_up}",
    }
    table = "".join(f"<i>{name}</i><span>{escape(value)}</span>" for name, value in rows.items())
    frame.html(
        f'<h2 class="o-sign-name">{escape(sentence(reading.name))}</h2>'
        f'<p class="o-question">{escape(reading.question)}</p><div class="o-facts">{table}</div>{_conflict(reading)}'
    )


def _conflict(reading: ConceptReading) -> str:
    if not (reading.conflict or reading.conflict_runner_up):
        return ""
    return (
        '<p><span class="o-chip conflict">Against the text</span> '
        '<span class="o-quiet">the model counts this sign the other way round</span></p>'
    )


def _where(reading: ConceptReading) -> str:
    if reading.state == CORRECTED and reading.localisation is not None:
        return MAP_OF_THE_MODEL
    if reading.location != "validated":
        return NO_LOCATION
    measured = reading.localisation
    hits = f"; the map hits the place in {percent(measured.value)} of {measured.studies} studies" if measured else ""
    return MAP_SHOWN + hits


def reliability(reading: ConceptReading) -> str:
    """Say how well the sign is told from its absence here, and where the model was made."""
    here, source = reading.grounding_here, reading.grounding_source
    told = UNMEASURED if here is None else f"{_measured(here)} here"
    return told if source is None else f"{told}; {_measured(source)} where the model was made"


def _measured(one: Measured) -> str:
    # An AUROC is the share of pairs of a study with the sign and one without that are told apart.
    return f"right in {percent(one.value)} of pairs ({percent(one.low)} to {percent(one.high)}, {one.studies} studies)"


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
