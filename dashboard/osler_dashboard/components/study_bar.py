"""The line above a study: the way back to the worklist, what this study is, and the one before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from osler.archive import StudyRecord
from osler_dashboard.components import frame
from osler_dashboard.pages import address
from osler_dashboard.services import Studies
from osler_dashboard.words import short_day

STUDY, QUEUE = "study", "queue"


def _step(uids: Sequence[str], by: int) -> None:
    place = uids.index(st.session_state[STUDY]) if st.session_state.get(STUDY) in uids else 0
    st.session_state[STUDY] = uids[(place + by) % len(uids)]
    st.query_params.clear()


def study_bar(found: Studies, study: StudyRecord) -> None:
    """Draw the line.

    Args:
        found: All studies.
        study: The one that is shown.
    """
    queue = [uid for uid in st.session_state.get(QUEUE, ()) if uid in found.records]
    if study.uid not in queue:
        queue = list(found.records)
    place = queue.index(study.uid) + 1
    taken = short_day(study.study_date)
    facts = [f"{place} of {len(queue)}", *([f"{taken} (date shifted)"] if taken else [])]
    with st.container(key="study-bar", horizontal=True, vertical_alignment="center", gap="small"):
        if st.button("Worklist", icon=":material/arrow_back:", key="to-worklist", type="tertiary"):
            st.switch_page(address("worklist"))
        frame.html(
            f'<div class="o-study-name"><b>{escape(found.names[study.uid])}</b>'
            f'<span class="o-quiet">{escape(" · ".join(facts))}</span></div>'
        )
        st.button("‹", on_click=_step, args=(queue, -1), help="Study before", key="previous", shortcut="Shift+Left")
        st.button("›", on_click=_step, args=(queue, 1), help="Study after", key="next", shortcut="Shift+Right")
