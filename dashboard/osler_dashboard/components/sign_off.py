"""The reader's word on a study: what was answered, a comment, the signature, and what others said meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape

import streamlit as st

from osler.access import Action
from osler.archive import StudyRecord
from osler.explain.explanation import Explanation
from osler.feedback import MAX_COMMENT, Answer, Review, ReviewConflictError, StudyReviews
from osler_dashboard import services, session
from osler_dashboard.components import frame
from osler_dashboard.components.hand_out import hand_out
from osler_dashboard.desk import Desk
from osler_dashboard.words import day, sentence, slug, spoken

WORDS = {Answer.PRESENT: "set to present", Answer.ABSENT: "set to absent", Answer.CONFIRM: "confirmed"}
WORDS |= {Answer.DOUBT: "doubted"}
AS_SHOWN = "As shown, with my answers"
_DONE = "signed-off"


def sign_off(study: StudyRecord, name: str, desk: Desk) -> None:
    """Draw the line below the signs: sign, take back, and who signed.

    Args:
        study: The study.
        name: Its readable name.
        desk: Of this reader.
    """
    held, draft = services.reviews_of(study.uid), desk.draft()
    _meanwhile(desk, held)
    with st.container(key="review", horizontal=True, gap="small", vertical_alignment="center"):
        if desk.may_sign:
            label = "Amend …" if held.signed else "Sign …"
            with st.popover(label, type="primary"):
                _form(study, name, desk, held)
        if draft.answers and desk.may_correct:
            st.button("Take back my answers", on_click=_take_back, args=(desk, tuple(draft.answers)), key="reset")
        hand_out(study)
        if held.result is not None:
            frame.html(f'<span class="o-quiet">{escape(_result(held))}</span>')
        elif not draft.empty:
            frame.html('<span class="o-quiet">Kept for you; not signed yet</span>')
    if held.result is not None:
        frame.html(_said(held.result, services.explain(study)))


def _result(held: StudyReviews) -> str:
    result = held.result
    if result is None:
        return ""
    done = "Amended" if len(held.signed) > 1 else "Signed"
    return f"{done} by {result.reviewer}, {day(result.saved[:10])}"


def _said(review: Review, first: Explanation) -> str:
    """Return what a signed review holds."""
    known = {one.id: one.name for one in first.concepts}
    told = [f"{known.get(sign, spoken(sign)).lower()} {WORDS[answer]}" for sign, answer in review.answers.items()]
    lines = [f"<b>{escape(review.reviewer)}</b> leaves it at <b>{escape(spoken(review.concluded).lower())}</b>"]
    lines += [escape(sentence(", ".join(told)))] if told else []
    lines += [f"“{escape(review.comment)}”"] if review.comment else []
    return f'<div class="o-word">{"<br>".join(lines)}</div>'


def _take_back(desk: Desk, signs: tuple[str, ...]) -> None:
    for sign in signs:
        desk.answer(sign, None)
    desk.turn_over()


def _meanwhile(desk: Desk, held: StudyReviews) -> None:
    """Say that somebody else worked on the study, and ask what is to become of this reader's own word."""
    waiting = held.waiting_of(desk.person)
    if waiting is not None:
        _waiting(desk, held, waiting)
        return
    news = desk.since_opened(held)
    if not news:
        return
    others = " and ".join(sorted({one.reviewer for one in news}))
    done = "signed" if any(one.signed for one in news) else "worked on"
    kept = " Your answers are kept." if not desk.draft().empty else ""
    with st.container(key="meanwhile", horizontal=True, vertical_alignment="center", gap="small"):
        frame.html(
            f'<div class="o-meanwhile" role="status">{escape(others)} has {done} this study since you opened it.{kept}</div>'
        )
        st.button("I have seen it", key="seen", on_click=desk.mark_seen)


def _waiting(desk: Desk, held: StudyReviews, waiting: Review) -> None:
    result = held.latest
    other = result.reviewer if result else "Somebody"
    with st.container(key="meanwhile", gap="small"):
        frame.html(
            f'<div class="o-meanwhile" role="status"><b>{escape(other)} has signed this study since you opened it.</b> '
            "Nothing is lost: your word is kept, and waits for you to say whether it counts.</div>"
        )
        with st.container(horizontal=True, gap="small"):
            if desk.may_sign and st.button("Sign mine too, as an amendment", key="confirm", type="primary"):
                _confirm(desk, held, waiting)
            if st.button("Leave it as it is", key="withdraw"):
                session.require(Action.CORRECT)
                services.withdraw(waiting.id, desk.person)
                session.record("study.withdraw", subject=desk.study.uid)
                desk.mark_seen()
                st.rerun()


def _confirm(desk: Desk, held: StudyReviews, waiting: Review) -> None:
    session.require(Action.SIGN)
    try:
        services.confirm(waiting.id, desk.person, held.revision)
    except ReviewConflictError:
        st.rerun()  # yet another came: it is shown, and asked again
    session.record("study.sign", subject=desk.study.uid, amends="yes")
    desk.mark_seen()
    st.rerun()


def _form(study: StudyRecord, name: str, desk: Desk, held: StudyReviews) -> None:
    draft, first = desk.draft(), services.explain(study)
    frame.html(_summary(draft.answers, first))
    key = slug(name)
    classes = [one.id for one in first.findings]
    if st.session_state.pop(_DONE, None) == study.uid:  # signed: the fields begin anew
        st.session_state[f"comment-{key}"] = st.session_state[f"own-{key}"] = ""
    # The draft outlives a session; the fields take it up when they are drawn anew.
    st.session_state.setdefault(f"comment-{key}", draft.comment)
    st.session_state.setdefault(f"own-{key}", draft.finding if draft.finding in classes else "")
    own = st.selectbox(
        "Finding", ["", *classes], format_func=lambda one: spoken(one) if one else AS_SHOWN, key=f"own-{key}"
    )
    comment = st.text_area("Comment", max_chars=MAX_COMMENT, height=90, key=f"comment-{key}")
    if (comment, own) != (draft.comment, draft.finding) and desk.may_correct:
        draft = replace(draft, comment=comment, finding=own)
        desk.keep(draft)
    label = "Sign as an amendment" if held.signed else "Sign this study"
    if st.button(label, type="primary", key="sign"):
        _sign(study, desk, first)


def _summary(answers: Mapping[str, Answer], first: Explanation) -> str:
    known = {one.id: one.name for one in first.concepts}
    items = "".join(
        f"<li>{escape(sentence(known[sign]))}: {WORDS[answer]}</li>"
        for sign, answer in answers.items()
        if sign in known
    )
    if not items:
        return '<p class="o-quiet">You have answered no sign: you sign the study as the model found it.</p>'
    return f'<p class="o-kicker">Your answers</p><ul class="o-answers">{items}</ul>'


def _sign(study: StudyRecord, desk: Desk, first: Explanation) -> None:
    who = session.require(Action.SIGN)
    draft = desk.draft()
    now = services.explain(study, draft.corrections) if draft.corrections else first
    begun = desk.opened_at() if draft.based_on is None else draft.based_on
    try:
        services.sign(first, now, replace(draft, based_on=begun), who.name)
    except ReviewConflictError:
        session.record("study.sign-late", subject=study.uid)
    else:
        session.record("study.sign", subject=study.uid)
        st.toast("Signed.", icon=":material/check:")
    desk.finish()
    st.session_state[_DONE] = study.uid
    st.rerun()
