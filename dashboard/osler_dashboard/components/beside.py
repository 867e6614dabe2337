"""Below a study: what would change the model, and studies that look alike to it; neither says anything of the patient."""

from __future__ import annotations

from html import escape

import streamlit as st

from osler.archive import StudyRecord
from osler.explain.explanation import Explanation, Searched, SimilarStudy
from osler_contracts.errors import OslerError
from osler_dashboard import services
from osler_dashboard.components import frame
from osler_dashboard.components.study_bar import STUDY
from osler_dashboard.services import Studies
from osler_dashboard.words import percent, sentence, spoken


@st.fragment
def beside(study: StudyRecord, found: Studies) -> None:
    """Draw both, where the explanation has them."""
    try:
        explanation = services.explain(study)
    except OslerError:
        return
    similar = [one for one in explanation.similar if one.study in found.records]
    if explanation.would_change is None and not similar:
        return
    with st.container(key="beside"):
        left, right = st.columns([11, 16], gap="medium")
    with left:
        _change(explanation)
    with right:
        _similar(similar, explanation.similar_among, found)


def _change(explanation: Explanation) -> None:
    change = explanation.would_change
    if change is None:
        return
    frame.kicker("What would change the model")
    rows = "".join(
        f"<tr><td>{escape(sentence(one.name))}</td><td class='n'>{percent(one.value)}</td>"
        f"<td class='n'>{percent(one.value_needed)}</td></tr>"
        for one in change.changes
    )
    table = (
        f'<table class="o-table o-compact"><tr><th>Sign</th><th class="n">now</th><th class="n">needed</th></tr>{rows}</table>'
        if rows
        else ""
    )
    told = (
        f"It would say {spoken(change.to).lower()} if these signs came out so."
        if rows
        else "No plausible change of a few signs would make it say something else."
    )
    frame.html(f'<p>{escape(told)}</p>{table}<p class="o-quiet">{escape(change.notice)}</p>')


def _similar(similar: list[SimilarStudy], among: Searched | None, found: Studies) -> None:
    if not similar:
        return
    frame.kicker("Studies with like signs")
    if among is not None:
        frame.html(f'<p class="o-quiet">{escape(among.sentence)}</p>')
    with st.container(horizontal=True, gap="small", key="similar"):
        for one in similar:
            label = f"{found.names[one.study]} · {spoken(one.finding)}"
            if st.button(label, key=f"similar-{found.names[one.study]}", help=_known(one)):
                st.session_state[STUDY] = one.study
                st.query_params.clear()
                st.rerun()


def _known(one: SimilarStudy) -> str:
    known = f"Known of it: {spoken(one.label)}." if one.label else "Nothing else is known of it."
    return f"{known} Review: {one.review}."
