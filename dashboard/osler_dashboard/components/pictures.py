"""The image side of a study: the viewer with what it asks for, and what is to be known of the images."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from osler.archive import StudyRecord
from osler_contracts.errors import OslerError
from osler_dashboard import image_services, services
from osler_dashboard.components import frame
from osler_dashboard.components.viewer import (
    Earlier,
    Maps,
    Slide,
    Wanted,
    image_key,
    refusal,
    send,
    shown_maps,
    viewer,
    wanted,
)
from osler_dashboard.services import Studies
from osler_dashboard.words import REASONS, ago, warning

MAP_CAPTION = "Where the model's attention to this sign lies; checked for this sign"
UNREADABLE = "This image cannot be read"


def earlier_studies(study: StudyRecord, found: Studies) -> list[tuple[StudyRecord, Earlier]]:
    """Return the earlier studies of the patient that have an image, the latest first."""
    same = [
        one
        for one in found.of_patient(study)
        if one.uid != study.uid and one.instances and one.study_date < study.study_date
    ]
    same.sort(key=lambda one: (one.study_date, one.uid), reverse=True)
    return [
        (one, Earlier(found.names[one.uid], f"{ago(one.study_date, study.study_date)} · {found.names[one.uid]}"))
        for one in same
    ]


@st.fragment
def pictures(study: StudyRecord, name: str, found: Studies, mapped: tuple[str, ...]) -> None:
    """Draw the viewer; what it asks for is sent by drawing this part of the page alone.

    Args:
        study: The study.
        name: Its readable name.
        found: All studies.
        mapped: Signs whose map may be shown.
    """
    if not study.instances:
        frame.nothing("This study has no image.", "Ask who looks after the intake.")
        return
    earlier = earlier_studies(study, found)
    slides = [Slide(image_services.slide_name(one)) for one in image_services.instances(study)]
    start = image_services.known_by(study) or 0
    viewer(study=name, slides=slides, start=start, earlier=[one for _, one in earlier], on_wanted=_keep_wanted)
    asked = st.session_state.pop("viewer-wanted", None) or Wanted(name)
    known = {name: study, **{one.study: record for record, one in earlier}}
    with st.container(key="parcels"):
        if asked.study in known:
            _send(known[asked.study], asked)
        if mapped and asked.region is None:
            _send_maps(study, name, start, mapped)


def _keep_wanted() -> None:
    st.session_state["viewer-wanted"] = wanted()


def _send(study: StudyRecord, asked: Wanted) -> None:
    if asked.region is not None and 0 <= asked.image < len(study.instances):
        shown = image_services.part(study, asked.image, asked.region)
        if shown is not None:
            send(9, f"{asked.study}|part", shown)
        return
    places = [one for one in asked.images or (image_services.known_by(study) or 0,) if 0 <= one < len(study.instances)]
    for slot, place in enumerate(places):
        key = image_key(asked.study, place)
        try:
            shown = image_services.shown(study, place)
        except OslerError as error:
            shown = refusal(key, f"{UNREADABLE}: {REASONS.get(error.code, 'it is damaged')}.")
        send(slot, key, shown)


def _send_maps(study: StudyRecord, name: str, place: int, mapped: Sequence[str]) -> None:
    values = services.concept_maps(study, mapped)
    if values is None:
        return
    instance = image_services.instances(study)[place]
    box = services.seen_box(instance.rows, instance.columns)
    send(8, f"{name}|maps", shown_maps(Maps(tuple(mapped), values, MAP_CAPTION, box, place)))


def notes(study: StudyRecord) -> None:
    """Draw what is to be known of the images, and the report that came with them."""
    told = [warning(code) for code in study.warnings]
    if told:
        items = "".join(f"<li>{escape(one)}</li>" for one in told)
        count = f"{len(told)} note{'s' if len(told) > 1 else ''} on these images"
        frame.html(f'<details class="o-more-notes"><summary>{count}</summary><ul>{items}</ul></details>')
    if study.report:
        with st.expander("Report that came with the study"):
            st.text(study.report)
