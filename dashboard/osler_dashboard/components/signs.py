"""From an explanation to the rows of the list of signs."""

from __future__ import annotations

from math import log

from osler.explain.explanation import ConceptReading, Explanation
from osler.feedback import Answer, Draft
from osler_dashboard.components.evidence import Sign
from osler_dashboard.words import percent, sentence, signed

SEEN = {
    "present": "likely present",
    "absent": "likely absent",
    "uncertain": "unproven",
}
IGNORED = "ignored at this site"
SAID = {
    Answer.PRESENT: "you set: present",
    Answer.ABSENT: "you set: absent",
    Answer.CONFIRM: "you confirm",
    Answer.DOUBT: "you doubt",
}


def seen(reading: ConceptReading) -> str:
    """Say whether a sign was seen, and how likely it is where the model gives a probability; never of an ignored one."""
    if reading.seen == "ignored":
        return IGNORED
    if reading.probability is None:
        return f"no percentage, {SEEN[reading.seen]}"
    return f"{percent(reading.probability)}, {SEEN[reading.seen]}"


def signs(now: Explanation, first: Explanation, draft: Draft) -> list[Sign]:
    """Return the rows, in the order of the explanation without corrections, so that none jumps while it is corrected.

    Args:
        now: The explanation with the reader's corrections.
        first: The one without.
        draft: What the reader answered.
    """
    return [
        _sign(now.concept(reading.id), reading, _before(now, first, reading.id), draft) for reading in first.concepts
    ]


def _before(now: Explanation, first: Explanation, concept: str) -> float | None:
    """Return what a sign added before: turned round where finding and runner-up have changed places."""
    pair, pair_before = ((one.finding.id, one.runner_up.id) for one in (now, first))
    value = first.concept(concept).contribution
    if pair == pair_before:
        return value
    return -value if pair == pair_before[::-1] else None


def _sign(now: ConceptReading, first: ConceptReading, before: float | None, draft: Draft) -> Sign:
    corrected = now.id in draft.corrections
    if not corrected:
        before = now.contribution_unpatched if now.state != "as scored" else None
    return Sign(
        id=now.id,
        name=sentence(now.name),
        value=now.contribution,
        before=before,
        note=_note(now, first, draft),
        text=signed(now.contribution),
        corrected=corrected,
        masked=now.state == IGNORED,
        answered=now.id in draft.answers,
        answer=str(draft.answers.get(now.id, "")),
    )


def _note(now: ConceptReading, first: ConceptReading, draft: Draft) -> str:
    answer = draft.answers.get(now.id)
    if answer in (Answer.PRESENT, Answer.ABSENT):
        return SAID[answer]
    if now.state == IGNORED:
        return now.state if answer is None else f"{now.state} · {SAID[answer]}"
    parts = [seen(first)]
    if now.state != "as scored":
        parts.append(now.state.partition(" ")[0])
    if answer is not None:
        parts.append(SAID[answer])
    return " · ".join(parts)


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
    start, together, beside = (
        round(one, 2) for one in (explanation.baseline, explanation.margin, explanation.residual)
    )
    doubling = log(2) * float(explanation.calibration["temperature"])
    other = f"not from signs {signed(beside)}, " if beside else ""
    return (
        f"Start {signed(start)}, signs {signed(together - start - beside)}, {other}together {signed(together)}; "
        f"{signed(doubling, 1)} doubles the odds"
    )
