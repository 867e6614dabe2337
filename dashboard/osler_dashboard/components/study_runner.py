"""For who runs a reader study: what was declared, how far each reader is, the figures by arm, and a new study."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from osler.access import Action
from osler.feedback.figures import Figure
from osler.reader_study.results import MEASURES, Measure
from osler.reader_study.study import ReaderStudy
from osler_contracts.errors import OslerError
from osler_dashboard import reader_services, session
from osler_dashboard.components import frame
from osler_dashboard.words import day, percent, sentence, spoken

SHARES = frozenset(MEASURES) - {"confidence", "seconds", "agreement_of_readers"}
SHOWS = {"nothing": "no advice", "prediction": "the prediction alone", "concepts": "the prediction and its signs"}
NAMES = {
    "accuracy": "Right answers",
    "accuracy_minus_unaided": "… more than without advice (points)",
    "accuracy_advice_right": "Right answers where the advice was right",
    "accuracy_advice_wrong": "Right answers where the advice was wrong",
    "agreement_with_advice": "Answers equal to the advice",
    "over_reliance": "Wrong advice followed (over-reliance)",
    "over_reliance_minus_unaided": "… more than that answer without advice (points)",
    "under_reliance": "Right advice not followed (under-reliance)",
    "agreement_of_readers": "Agreement of readers (Krippendorff's alpha)",
    "confidence": "Confidence (0 to 100)",
    "seconds": "Time of a reading (s, geometric mean)",
}


def running(studies: dict[str, ReaderStudy]) -> None:
    """Draw the studies for who runs them."""
    for name in reader_services.unreadable():
        st.warning(f"The study {name} cannot be read: its folder is damaged. Put a good copy of it back.")
    if studies:
        chosen = st.selectbox(
            "Study", list(studies), format_func=lambda one: studies[one].protocol.title, key="run_study"
        )
        _study(studies[chosen])
    else:
        frame.nothing("No reader study has started here.", "Declare one below: docs/reader-study.md has an example.")
    with st.expander("Start a study", expanded=not studies):
        _new()


def _study(study: ReaderStudy) -> None:
    protocol = study.protocol
    done, of = len(study.answers()), len(study.readings)
    arms = "".join(
        f"<li><b>{escape(spoken(name))}</b>: {SHOWS[arm.shows]}{'' if arm.patch else ', without the site patch'}</li>"
        for name, arm in protocol.arms.items()
    )
    frame.html(
        f'<div class="o-counts"><div><b>{len(study.cases)}</b><span>cases</span></div>'
        f"<div><b>{len(protocol.readers)}</b><span>readers</span></div>"
        f"<div><b>{done} of {of}</b><span>readings answered</span></div>"
        f"<div><b>{percent(protocol.wrong)}</b><span>of the cases with wrong advice on purpose</span></div>"
        f"<div><b>{protocol.washout_days} days</b><span>between two readings of a case</span></div></div>"
        f'<ul class="o-quiet">{arms}</ul>'
    )
    rows = "".join(
        f"<tr><td>{escape(one.reader)}</td><td>{one.done} of {one.of}</td><td>{_when(one)}</td></tr>"
        for one in reader_services.progress(study)
    )
    frame.html(
        '<table class="o-table"><thead><tr><th>Reader</th><th>Readings</th><th>Goes on</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    _results(study)


def _when(one: reader_services.Progress) -> str:
    if one.done == one.of:
        return "done"
    return f"waits until {day(one.until.date().isoformat())}" if one.until else "any time"


def _results(study: ReaderStudy) -> None:
    who = session.person()
    if study.takes_part(who.name) and study.turn(who.name).done < len(study.readings) // len(study.protocol.readers):
        st.info("You read in this study yourself: its results are shown when you have read all your cases.")
        return
    if not study.answers():
        frame.html('<p class="o-quiet">Figures by arm appear when the first case is answered.</p>')
        return
    if not st.toggle("Show the results so far", key=f"results-{study.protocol.name}"):
        return
    session.require(Action.RUN_READER_STUDY)
    made = reader_services.export(study)
    session.record_once("reader-study.results", subject=study.protocol.name)
    frame.html(figures(made.measures))
    frame.html(
        '<p class="o-quiet">95% intervals over readers and patients, drawn again together; with few readers they are rough. '
        "Without advice, advice means what the model would have said.</p>"
    )
    with st.container(horizontal=True):
        name = study.protocol.name
        for label, data, file in (
            ("Download readings (CSV)", made.readings_csv, f"{name}.csv"),
            ("Download figures by arm (CSV)", made.arms_csv, f"{name}-arms.csv"),
        ):
            st.download_button(label, data, file, "text/csv", on_click=_exported, args=(name,), key=f"get-{file}")


def _exported(name: str) -> None:
    session.require(Action.RUN_READER_STUDY)
    session.record("reader-study.export", subject=name)


def figures(found: Sequence[Measure]) -> str:
    """Return the figures by arm as a table."""
    arms = list(dict.fromkeys(one.arm for one in found))
    held = {(one.arm, one.measure): one.both for one in found}
    heads = "".join(f"<th>{escape(sentence(spoken(arm)))}</th>" for arm in arms)
    rows = "".join(
        f"<tr><td>{escape(NAMES[name])}</td>"
        + "".join(f"<td>{_cell(held.get((arm, name)), name)}</td>" for arm in arms)
        + "</tr>"
        for name in MEASURES
        if any((arm, name) in held for arm in arms)
    )
    return f'<table class="o-table"><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _cell(one: Figure | None, name: str) -> str:
    if one is None or one.value is None:
        return '<span class="o-quiet">–</span>'
    scale, digits = (100, 0) if name in SHARES else (1, 2 if name == "agreement_of_readers" else 0)
    sign = "+" if name.endswith("_minus_unaided") else ""
    unit = "%" if name in SHARES and not sign else ""
    value = f"{scale * one.value:{sign}.{digits}f}{unit}"
    if one.low is None or one.high is None:
        return f'{value} <span class="o-quiet">n {one.n}</span>'
    span = f"{scale * one.low:.{digits}f} to {scale * one.high:.{digits}f}"
    return f'<span class="o-nowrap">{value} <span class="o-quiet">{span}</span></span> <span class="o-quiet">n {one.n}</span>'


def _new() -> None:
    file = st.file_uploader("Protocol (YAML)", type=["yaml", "yml"], key="protocol")
    if file is None:
        return
    try:
        protocol = reader_services.parse_protocol(file.getvalue(), file.name)
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    wanted = protocol.cases.count or len(protocol.cases.studies)
    frame.html(
        f"<p>{escape(protocol.title)}: {wanted} cases, {len(protocol.arms)} arms, {len(protocol.readers)} readers. "
        "Nothing of it can be changed once it has started.</p>"
    )
    if st.button("Start the study", type="primary", key="start_study"):
        session.require(Action.RUN_READER_STUDY)
        try:
            with st.spinner("Asking the model about the cases"):
                reader_services.start_study(protocol)
        except OslerError as error:
            st.warning(f"{error.message} {error.mend}")
            return
        session.record("reader-study.start", subject=protocol.name, readers=str(len(protocol.readers)))
        st.toast("The study has started.", icon=":material/check:")
        st.rerun()
