"""From an explanation to the rows of the list of signs."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from osler.explain.explanation import ConceptReading, Explanation
from osler_dashboard.components.evidence import Sign
from osler_dashboard.words import percent, sentence, signed

LIKELY, UNLIKELY = 0.6, 0.4


def seen(probability: float | None) -> str:
    """Say how likely a sign is there, where the model gives a probability."""
    if probability is None:
        return "seen without a probability"
    word = "likely present" if probability >= LIKELY else "likely absent" if probability <= UNLIKELY else "unclear"
    return f"{word}, {percent(probability)}"


def signs(now: Explanation, first: Explanation, corrections: Mapping[str, bool]) -> list[Sign]:
    """Return the rows, in the order of the explanation without corrections, so that none jumps while it is corrected.

    Args:
        now: The explanation with the reader's corrections.
        first: The one without.
        corrections: What the reader set.
    """
    return [
        _sign(now.concept(reading.id), reading, _before(now, first, reading.id), corrections)
        for reading in first.concepts
    ]


def _before(now: Explanation, first: Explanation, concept: str) -> float | None:
    """Return what a sign added before: turned round where finding and runner-up have changed places."""
    pair, pair_before = ((one.finding.id, one.runner_up.id) for one in (now, first))
    value = first.concept(concept).contribution
    if pair == pair_before:
        return value
    return -value if pair == pair_before[::-1] else None


def _sign(now: ConceptReading, first: ConceptReading, before: float | None, corrections: Mapping[str, bool]) -> Sign:
    corrected = now.id in corrections
    if not corrected:
        before = now.contribution_unpatched if now.state != "as scored" else None
    return Sign(
        id=now.id,
        name=sentence(now.name),
        value=now.contribution,
        before=before,
        note=_note(now, first, corrections),
        text=signed(now.contribution),
        corrected=corrected,
        masked=now.state == "ignored at this site",
    )


def _note(now: ConceptReading, first: ConceptReading, corrections: Mapping[str, bool]) -> str:
    if now.id in corrections:
        return f"you set: {'present' if corrections[now.id] else 'absent'}"
    if now.state == "ignored at this site":
        return now.state
    return seen(first.probability) + (f" · {now.state.partition(' ')[0]}" if now.state != "as scored" else "")


def dashed(explanation: Explanation) -> str:
    """Say what a dashed outline in the list stands for."""
    meanings = [
        (bool(explanation.corrections), "before your correction"),
        (explanation.patch is not None, "without the adjustment"),
    ]
    told = " or ".join(meaning for holds, meaning in meanings if holds)
    return f"Dashed: {told}" if told else ""


def total(explanation: Explanation) -> str:
    """Say how the signs add up, rounded so that what is shown adds up too, and what a step means."""
    start, together = round(explanation.baseline, 2), round(explanation.margin, 2)
    doubling = log(2) * float(explanation.calibration["temperature"])
    return (
        f"Start {signed(start)}, signs {signed(together - start)}, together {signed(together)}; "
        f"{signed(doubling, 1)} doubles the odds"
    )
