"""A study, for a clinician: image, finding, signs for and against, the text behind each, and the reader's corrections."""

from __future__ import annotations

from html import escape
from typing import Any
from zlib import crc32

import streamlit as st

from osler.archive import StudyRecord
from osler.explain.explanation import Explanation, Finding
from osler.feedback import MAX_COMMENT, MAX_NAME, Conclusion, Review
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import services
from osler_dashboard.components import concept, finding, frame
from osler_dashboard.components.evidence import CHOSEN, evidence
from osler_dashboard.components.signs import dashed, signs, total
from osler_dashboard.components.viewer import Overlay, viewer
from osler_dashboard.roll import Roll
from osler_dashboard.services import Studies
from osler_dashboard.words import REASONS, sentence, site_name, slug, spoken, warning

STUDY, CORRECTIONS, READER, SAVED = "study", "corrections", "reader", "saved"
ALL = "All sites"
STATES = ("All", "To review", "Reviewed")
ANSWERS = {"As found": None, "Present": True, "Absent": False}


def _step(uids: list[str], by: int) -> None:
    place = uids.index(st.session_state[STUDY]) if st.session_state.get(STUDY) in uids else 0
    st.session_state[STUDY] = uids[(place + by) % len(uids)]


def _from_address(found: Studies) -> None:
    """Open the study that the address names, once."""
    wanted = st.query_params.get("study")
    if STUDY not in st.session_state and wanted:
        named = next((uid for uid, name in found.names.items() if slug(name) == wanted), None)
        if named:
            st.session_state[STUDY] = named


@st.fragment(run_every=2)
def _await(roll: Roll) -> None:
    """Draw the page once more when the rest of the archive has been read."""
    if roll.wait(0):
        st.rerun()


def _label(name: str, concluded: Finding | None, reviewed: bool) -> str:
    return name + (f" — {finding.said(concluded)}" if concluded else "") + (" · reviewed" if reviewed else "")


def _pick(labels: dict[str, str]) -> str:
    """Draw the list of studies.

    Streamlit knows a choice by its label, and labels change as findings and reviews come in: the choice is kept apart,
    and a list with other labels is another widget.
    """
    uids = list(labels)
    if st.session_state.get(STUDY) not in labels:
        st.session_state[STUDY] = uids[0]
    key = f"studies-{crc32(repr(list(labels.values())).encode()):08x}"
    st.session_state[key] = st.session_state[STUDY]

    def take() -> None:
        st.session_state[STUDY] = st.session_state[key]

    st.selectbox(f"Study ({len(uids)})", uids, format_func=labels.__getitem__, key=key, on_change=take)
    return str(st.session_state[STUDY])


def choose(found: Studies) -> str | None:
    """Draw the bar that chooses a study; None where the filters leave none."""
    _from_address(found)
    reviewed = services.reviews()
    roll = services.roll(found)
    findings = roll.findings()
    if not roll.wait(0):
        _await(roll)
    with st.container(key="chooser", horizontal=True, vertical_alignment="bottom", gap="small"):
        sites = [ALL, *found.sites]
        site = st.selectbox("Site", sites, format_func=lambda one: one if one == ALL else site_name(one), width=160)
        state = st.selectbox("Review", STATES, width=130)
        uids = [
            uid
            for uid, record in found.records.items()
            if site in (ALL, record.site) and (state == "All" or (uid in reviewed) == (state == "Reviewed"))
        ]
        if not uids:
            frame.html('<p class="o-quiet">No study matches. Choose another site or review state.</p>')
            return None

        chosen = _pick({uid: _label(found.names[uid], findings.get(uid), uid in reviewed) for uid in uids})
        st.button("‹", on_click=_step, args=(uids, -1), help="Previous study", key="previous")
        st.button("›", on_click=_step, args=(uids, 1), help="Next study", key="next")
    st.query_params["study"] = slug(found.names[chosen])
    return chosen


def corrections_of(uid: str) -> dict[str, bool]:
    """Return what this reader set in a study; it lives in the session until it is saved."""
    held: dict[str, dict[str, bool]] = st.session_state.setdefault(CORRECTIONS, {})
    return held.setdefault(uid, {})


def _answer(uid: str, concept_id: str, key: str) -> None:
    answer = ANSWERS[st.session_state[key]]
    if answer is None:
        corrections_of(uid).pop(concept_id, None)
    else:
        corrections_of(uid)[concept_id] = answer


def _reset(uid: str) -> None:
    corrections_of(uid).clear()


def picture(study: StudyRecord, name: str, overlay: Overlay | None) -> None:
    """Draw the image, or say why there is none."""
    try:
        image = services.image(study)
    except OslerError as error:
        frame.nothing("This image cannot be read.", error.mend)
        return
    if image is None:
        frame.nothing("This study has no frontal image.", "The model reads frontal radiographs: choose another study.")
        return
    viewer(image, label=name, overlay=overlay)
    instance = services.archive().image(study)
    notes = [f"View {instance.view}" if instance and instance.view else "View not stated"]
    notes += [warning(code).rstrip(".") for code in study.warnings]
    notes += ["Drag to move", "Shift-drag for level and width", "double-click for 1:1"]
    frame.html(f'<p class="o-quiet o-under">{" · ".join(notes)}</p>')
    if study.report:
        with st.expander("Report that came with the study"):
            st.text(study.report)


def _overlay(uid: str, concept_id: str, image: dict[str, Any] | None) -> Overlay | None:
    strengths = services.concept_map(uid, concept_id) if image else None
    if strengths is None or image is None:
        return None
    return Overlay(strengths, concept.MAP_CAPTION, services.seen_box(image["rows"], image["columns"]))


def panel(uid: str, name: str, now: Explanation, first: Explanation, mapped: bool) -> None:
    """Draw the chosen sign and ask for the reader's answer."""
    names = {one.id: sentence(one.name) for one in first.concepts}
    chosen = st.selectbox("Sign", list(names), format_func=names.__getitem__, key=CHOSEN, label_visibility="collapsed")
    reading = now.concept(chosen)
    concept.facts(reading, first.concept(chosen), now, mapped)
    key = f"answer-{slug(name)}-{chosen}"
    held = {value: word for word, value in ANSWERS.items()}[corrections_of(uid).get(chosen)]
    st.session_state[key] = held
    st.segmented_control(
        "What do you see?",
        list(ANSWERS),
        key=key,
        required=True,
        on_change=_answer,
        args=(uid, chosen, key),
        width="stretch",
    )
    concept.evidence_text(reading, services.paragraphs(reading.citation.entry))


def review(study: StudyRecord, now: Explanation, first: Explanation) -> None:
    """Let the reader undo the corrections, or save them with a name and a comment."""
    made = corrections_of(study.uid)
    with st.container(key="review", horizontal=True, gap="small", vertical_alignment="center"):
        with st.popover("Save my review", type="primary" if made else "secondary"):
            _form(study, now, first)
        if made:
            st.button("Undo my corrections", on_click=_reset, args=(study.uid,), key="reset")
        saved = services.reviews().get(study.uid)
        if saved:
            frame.html(f'<span class="o-quiet">Reviewed by {escape(saved.reviewer)}, {saved.saved[:10]}</span>')


def _form(study: StudyRecord, now: Explanation, first: Explanation) -> None:
    made = corrections_of(study.uid)
    answers = ", ".join(f"{first.concept(one).name} {'present' if yes else 'absent'}" for one, yes in made.items())
    frame.html(
        f'<p class="o-quiet">{escape(f"Your corrections: {answers}." if made else "You agree with every sign.")}</p>'
    )
    with st.form("review-form", border=False):
        name = st.text_input("Your name", value=st.session_state.get(READER, ""), max_chars=MAX_NAME)
        comment = st.text_area("Comment", max_chars=MAX_COMMENT, height=90)
        if not st.form_submit_button("Save", type="primary"):
            return
    if not name.strip():
        st.warning("Please give your name: it is kept with the review.")
        return
    st.session_state[READER] = name
    before, after = (Conclusion(one.finding.id, finding.certainty(one.finding)) for one in (first, now))
    services.keep_review(
        Review(
            study=study.uid,
            site=study.site,
            reviewer=name.strip(),
            corrections=dict(made),
            before=before,
            after=after,
            model=now.model,
            bank=now.bank,
            patch=now.patch.id if now.patch else None,
            comment=comment.strip(),
        )
    )
    st.session_state[SAVED] = True
    st.rerun()


def reading_room(study: StudyRecord, name: str) -> None:
    """Draw one study: the image on the left, what the model makes of it on the right."""
    try:
        first = services.explain(study)
    except OslerError as error:
        _without_explanation(error)
        return
    made = corrections_of(study.uid)
    now = services.explain(study, made) if made else first
    if st.session_state.get(CHOSEN) not in {one.id for one in first.concepts}:
        st.session_state[CHOSEN] = first.concepts[0].id
    chosen = st.session_state[CHOSEN]
    overlay = _overlay(study.uid, chosen, services.image(study))
    with st.container(key="room"):
        left, right = st.columns([11, 16], gap="medium")
    with left:
        picture(study, name, overlay)
    with right:
        finding.headline(now, frame.phantom_chip(services.is_phantom(study)))
        with st.container(key="sides"):
            signs_side, concept_side = st.columns([9, 7], gap="medium")
        with signs_side:
            evidence(
                signs(now, first, made),
                study=name,
                finding=spoken(now.finding.id).lower(),
                runner_up=spoken(now.runner_up.id).lower(),
                total=total(now),
                dashed=dashed(now),
                selected=chosen,
            )
            review(study, now, first)
        with concept_side:
            panel(study.uid, name, now, first, overlay is not None)


def _without_explanation(error: OslerError) -> None:
    """Say why a study is not explained, in words that name no identifier."""
    if error.code is Code.NOTHING_ELIGIBLE:
        frame.nothing("This study has no frontal image.", "The model reads frontal radiographs: choose another study.")
    elif error.code in REASONS:
        frame.nothing("This study cannot be explained: its image cannot be read.", error.mend)
    else:
        frame.nothing(error.message, error.mend)


def show() -> None:
    """Draw the page."""
    found = services.studies()
    if not found.records:
        frame.nothing("No study has arrived yet.", "Take a folder in with `osler ingest FOLDER --site NAME`.")
        return
    services.explainer()
    uid = choose(found)
    if uid is not None:
        reading_room(found.records[uid], found.names[uid])
    if st.session_state.pop(SAVED, False):
        st.toast("Your review is saved.", icon=":material/check:")


show()
