"""The reading side of a study: finding, signs, the chosen sign, and the reader's answers, which move them at once."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from osler.archive import StudyRecord
from osler.feedback import Answer
from osler_dashboard import services
from osler_dashboard.components import concept, finding, frame
from osler_dashboard.components.evidence import CHOSEN, MOST, answered, evidence
from osler_dashboard.components.signs import dashed, signs, total
from osler_dashboard.desk import Desk
from osler_dashboard.words import slug, spoken

CHOICES = {"As found": None, "Confirm": Answer.CONFIRM, "Doubt": Answer.DOUBT}
CHOICES |= {"Present": Answer.PRESENT, "Absent": Answer.ABSENT}


def judge(study: StudyRecord, name: str, desk: Desk, below: Callable[[], None]) -> None:
    """Draw finding, signs and the chosen sign.

    Args:
        study: The study; it can be explained.
        name: Its readable name.
        desk: Of this reader.
        below: Draws what belongs below the signs.
    """
    first, draft = services.explain(study), desk.draft()
    known = {one.id for one in first.concepts}
    made = {sign: yes for sign, yes in draft.corrections.items() if sign in known}
    now = services.explain(study, made) if made else first
    listed = [one.id for one in first.concepts][:MOST]
    if st.session_state.get(CHOSEN) not in listed:
        st.session_state[CHOSEN] = listed[0]
    chosen = st.session_state[CHOSEN]
    finding.headline(now, frame.phantom_chip(services.is_phantom(study)))
    with st.container(key="sides"):
        signs_side, concept_side = st.columns([9, 7], gap="medium")
    with signs_side:
        evidence(
            signs(now, first, draft),
            study=name,
            finding=spoken(now.finding.id).lower(),
            runner_up=spoken(now.runner_up.id).lower(),
            total=total(now),
            dashed=dashed(now),
            selected=chosen,
            on_answered=(lambda: _typed(desk, set(listed))) if desk.may_correct else None,
        )
        below()
    with concept_side:
        reading = now.concept(chosen)
        concept.facts(reading, first.concept(chosen), now)
        if desk.may_correct:
            _ask(name, chosen, desk)
        concept.evidence_text(reading, services.paragraphs(reading.citation.entry))


def _typed(desk: Desk, listed: set[str]) -> None:
    told = answered()
    if told is None or told[0] not in listed or told[1] not in ("", *Answer):
        return
    st.session_state[CHOSEN] = told[0]
    desk.answer(told[0], Answer(told[1]) if told[1] else None)
    desk.turn_over()


def _ask(name: str, sign: str, desk: Desk) -> None:
    # Another control whenever the answer is set elsewhere: a browser that still holds the earlier one would set it again.
    key = f"answer-{slug(name)}-{sign}-{desk.turn}"
    held = desk.draft().answers.get(sign)
    st.session_state[key] = next(word for word, answer in CHOICES.items() if answer is held)

    def take() -> None:
        desk.answer(sign, CHOICES[st.session_state[key]])

    st.segmented_control("What do you see?", list(CHOICES), key=key, required=True, on_change=take, width="stretch")
