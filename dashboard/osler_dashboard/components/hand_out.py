"""The result of a study as a file: made when it is asked for, as it then stands."""

from __future__ import annotations

import streamlit as st

from osler.access import Action
from osler.archive import StudyRecord
from osler_contracts.errors import OslerError
from osler_dashboard import services, session
from osler_dashboard.components import frame

KINDS = {"sr": ("DICOM structured report", "application/dicom"), "fhir": ("FHIR", "application/fhir+json")}
_MADE = "report-made"


def hand_out(study: StudyRecord) -> None:
    """Draw what makes the report of a study and lets it be saved, for who may export."""
    if not session.allowed(Action.EXPORT):
        return
    with st.popover("Report …"):
        frame.html(
            '<p class="o-quiet">The result as a file, under the pseudonym of the study: preliminary until somebody signs. '
            "Under the patient's own name it leaves by the sender to the PACS alone.</p>"
        )
        kind = st.radio("Form", list(KINDS), format_func=lambda one: KINDS[one][0], key="report-form", horizontal=True)
        stands = (study.uid, kind, services.reviews_of(study.uid).revision)
        if st.button("Make the report", key="make-report"):
            session.require(Action.EXPORT)
            try:
                made = services.report(study.uid, kind)
            except OslerError as error:
                st.warning(f"{error.message} {error.mend}")
                return
            session.record("report.make", subject=study.uid, format=kind)
            st.session_state[_MADE] = (stands, made)
        held = st.session_state.get(_MADE)
        if held is not None and held[0] == stands:
            made = held[1]
            st.download_button(
                "Save it", made.data, made.name, KINDS[kind][1], key="save-report", type="primary", on_click="ignore"
            )
