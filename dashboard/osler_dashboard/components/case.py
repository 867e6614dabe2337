"""One case of a reader study: the image, the advice that the reader's arm has, the question, and the answer."""

from __future__ import annotations

from html import escape

import streamlit as st

from osler.access import Action
from osler.archive import StudyRecord
from osler.reader_study.advice import Advice, ShownConcept
from osler.reader_study.design import Reading
from osler.reader_study.study import ReaderStudy, Turn
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import services, session
from osler_dashboard.components import frame
from osler_dashboard.components.pictures import pictures
from osler_dashboard.services import Studies
from osler_dashboard.words import percent, sentence, spoken

SURE = {0: "A guess", 25: "Unsure", 50: "Fairly sure", 75: "Sure", 100: "Certain"}
SEEN, UNCERTAIN = {"present": "Present", "absent": "Absent", "ignored": "Ignored at this hospital"}, "Uncertain"
ON, OPENED = "reader_study_on", "reader_study_opened"


def case(study: ReaderStudy, turn: Turn, reading: Reading) -> None:
    """Draw a case; its time begins when it is first drawn in a session."""
    record = services.studies().records.get(reading.case)
    if record is None:
        frame.nothing("This case is no longer in the archive.", "Tell who runs the study; your answers are kept.")
        return
    _open(study, reading)
    name = f"Case {turn.done + 1} of {turn.of}"
    left, right = st.columns([17, 10], gap="medium")
    with right:  # first: while the image is fetched, the advice of the case before is not to stand beside it
        if services.is_phantom(record):
            frame.html(frame.phantom_chip(True))
        _answering(study, reading, name)
    with left:
        # Under a name of its own and without earlier studies: the answer is to come from this image.
        pictures(record, name, _alone(record, name), ())


def _alone(record: StudyRecord, name: str) -> Studies:
    return Studies({record.uid: record}, {record.uid: name})


def _open(study: ReaderStudy, reading: Reading) -> None:
    key = (study.protocol.name, reading.reader, reading.place)
    if st.session_state.get(OPENED) != key:
        study.open(session.require(Action.TAKE_PART).name, reading)
        session.record_once("reader-study.read", subject=reading.case, study=study.protocol.name)
        st.session_state[OPENED] = key


@st.fragment
def _answering(study: ReaderStudy, reading: Reading, name: str) -> None:
    frame.kicker(name)
    advice = study.shown(reading)
    if advice is not None:
        frame.html(advised(advice))
    key = f"{study.protocol.name}-{reading.place}"
    frame.html(f'<h3 class="o-ask">{escape(study.protocol.question)}</h3>')
    answer = st.radio(
        "Your answer", study.classes, index=None, format_func=lambda one: sentence(spoken(one)), key=f"answer-{key}"
    )
    sure = st.radio(
        "How sure are you?", list(SURE), index=None, format_func=SURE.__getitem__, horizontal=True, key=f"sure-{key}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        ready = answer is not None and sure is not None
        if st.button("Next case", type="primary", disabled=not ready, key=f"next-{key}"):
            _keep(study, reading, str(answer), int(sure or 0))
        if st.button("Pause", key=f"pause-{key}"):
            leave()
            st.rerun()


def leave() -> None:
    """Go back to the list; the case is timed anew when it is opened again."""
    st.session_state.pop(ON, None)
    st.session_state.pop(OPENED, None)


def _keep(study: ReaderStudy, reading: Reading, answer: str, sure: int) -> None:
    who = session.require(Action.TAKE_PART)
    try:
        study.answer(who.name, reading, answer, sure)
    except OslerError as error:
        if error.code is not Code.REVIEW_CONFLICT:
            raise
        st.toast(error.message)
    st.session_state.pop(OPENED, None)
    st.rerun()


def advised(advice: Advice) -> str:
    """Return the advice as markup: the finding, and the signs where the arm shows them."""
    head = (
        '<div class="o-advice"><p class="o-kicker">The model says</p>'
        f'<div class="o-finding"><h1>{escape(sentence(spoken(advice.finding)))}</h1>'
        f'<div class="o-number">{percent(advice.probability)}</div></div>'
    )
    if not advice.concepts:
        return head + "</div>"
    longest = max((abs(one.contribution) for one in advice.concepts), default=0.0) or 1.0
    lines = "".join(_line(one, longest) for one in advice.concepts)
    finding, other = (escape(spoken(one)) for one in (advice.finding, advice.runner_up))
    return (
        f'{head}<table class="o-table o-compact"><thead><tr><th>Sign</th><th>The model sees</th><th>Speaks for</th></tr></thead>'
        f'<tbody>{lines}</tbody></table><p class="o-quiet">◀ for {other} · for {finding} ▶</p></div>'
    )


def _line(one: ShownConcept, longest: float) -> str:
    share = 50 * abs(one.contribution) / longest
    left = 50 - share if one.contribution < 0 else 50
    kind = "o-less" if one.contribution < 0 else "o-more"
    chance = "" if one.probability is None else percent(one.probability)
    # Where no limit was checked, the figure stands alone: "uncertain, 90%" would say two things.
    told = f'{SEEN[one.seen]} <span class="o-quiet">{chance}</span>' if one.seen in SEEN else chance or UNCERTAIN
    side = "against" if one.contribution < 0 else "for"
    bar = f'<span class="o-shift" role="img" aria-label="{side}"><i class="{kind}" style="left:{left:.1f}%;width:{share:.1f}%"></i></span>'
    return f'<tr><td>{escape(sentence(one.name))}</td><td class="o-nowrap">{told}</td><td>{bar}</td></tr>'
