"""A site, for its engineer: what arrived, what is done differently here and why, what that gains and costs, and undo."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from osler.access import Action
from osler.adapt.patch import SitePatch
from osler.archive import Outcome
from osler_contracts.errors import OslerError
from osler_dashboard import adapt_services, services, session
from osler_dashboard.components import adapting, arrivals, examined, frame, held_back, patch_card
from osler_dashboard.settings import AGAINST, FOR
from osler_dashboard.words import day, percent, points, reason, signed, site_name


def intake(site: str) -> None:
    """Draw what arrived: nothing is lost, so the sum is shown as one."""
    counts = services.intake(site)
    totals = {outcome: sum(counts[outcome].values()) for outcome in Outcome}
    frame.kicker("What arrived")
    parts = [
        (sum(totals.values()), "files received"),
        "=",
        (totals[Outcome.ACCEPTED], "accepted"),
        "+",
        (totals[Outcome.QUARANTINED], "quarantined"),
        "+",
        (totals[Outcome.DUPLICATE], "duplicates"),
    ]
    frame.html(
        '<div class="o-counts">'
        + "".join(
            f'<div class="o-sign">{part}</div>'
            if isinstance(part, str)
            else f"<div><b>{part[0]:,}</b><span>{part[1]}</span></div>"
            for part in parts
        )
        + "</div>"
    )
    refused = [
        (code, count) for outcome in (Outcome.QUARANTINED, Outcome.DUPLICATE) for code, count in counts[outcome].items()
    ]
    if refused:
        refused.sort(key=lambda pair: -pair[1])
        rows = "".join(f'<tr><td class="n">{count}</td><td>{escape(reason(code))}</td></tr>' for code, count in refused)
        frame.html(f'<table class="o-table o-compact"><tbody>{rows}</tbody></table>')
        with st.expander("What each means, and what to do"):
            frame.html(_reasons(code for code, _ in refused))


def _reasons(codes: Iterable[str]) -> str:
    meanings = services.refusal_meanings()
    rows = ""
    for code in codes:
        meaning, mend = meanings.get(code, ("The same content is in the archive already.", "Nothing to do."))
        rows += (
            f'<tr><td class="o-nowrap">{escape(reason(code))}</td>'
            f'<td class="o-quiet">{escape(f"{meaning} {mend}".strip())}</td></tr>'
        )
    return f'<table class="o-table"><tbody>{rows}</tbody></table>'


def effect(patch: SitePatch) -> None:
    """Draw before and after, and what the guards measured."""
    frame.kicker("What it gains and costs")
    record = services.adaptation(patch.site)
    if record:
        st.altair_chart(_dumbbells(record), width="stretch")
        frame.html(f'<p class="o-quiet">{escape(_measured(record))}</p>')
    patch_card.guards(patch)


def _measured(record: dict[str, Any]) -> str:
    """Say what was measured: over many draws of the few studies, of which the patch above is one."""
    low, high = record["ci"]["gain"]
    return (
        f"Phantom data, mean over {record['draws']} draws of {record['shots']} studies a class (this patch is one of them): "
        f"{points(record['gain'])} here, 95% interval {signed(100 * low, 1)} to {signed(100 * high, 1)}; "
        f"{percent(record['unchanged'])} of the draws changed nothing, {percent(record['harmed'])} did harm. "
        f"{site_name(record['source'])}: {points(record['source_after'] - record['source_before'])}, since the patch holds "
        "here alone."
    )


def _dumbbells(record: dict[str, Any]) -> alt.LayerChart | alt.FacetChart:
    names = {"target": site_name(record["site"]), "source": site_name(record["source"])}
    rows = []
    for key, name in names.items():
        for when in ("before", "after"):
            value = record[f"{key}_{when}"]
            low, high = record["ci"].get(f"{key}_{when}", (value, value))
            rows.append({"where": name, "when": when, "accuracy": value, "low": low, "high": high})
    order = ["before", "after"]
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("where:N", sort=list(names.values()), title=None, axis=alt.Axis(labelFontSize=13)),
        yOffset=alt.YOffset("when:N", sort=order),
        color=alt.Color(
            "when:N", scale=alt.Scale(domain=order, range=[AGAINST, FOR]), legend=alt.Legend(orient="top", title=None)
        ),
    )
    spans = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low:Q", scale=scale, title="Accuracy with 95% interval", axis=alt.Axis(format="%", tickCount=6)),
        x2="high:Q",
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=scale),
        shape=alt.Shape("when:N", scale=alt.Scale(domain=order, range=["diamond", "circle"])),
        tooltip=["where", "when", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high"))],
    )
    return alt.layer(spans, dots).properties(height=alt.Step(18))


def switch(patch: SitePatch) -> None:
    """Let the engineer switch the patch off or on, with a reason."""
    if not session.allowed(Action.SWITCH_PATCH):
        return
    status, verb = ("revoked", "Switch it off") if patch.status == "active" else ("active", "Put it in force")
    with st.form("switch", clear_on_submit=True, border=False):
        why, go = st.columns([6, 4], vertical_alignment="bottom")
        note = why.text_input("Reason", max_chars=300, key="switch_why")
        sent = go.form_submit_button(verb, type="primary", width="stretch", help="Kept in the patch's history")
    if not sent:
        return
    if not note.strip():
        st.warning("Give a reason: it is kept in the patch's history.")
        return
    who = session.require(Action.SWITCH_PATCH)
    try:
        adapt_services.switch(patch, status, on=datetime.now(UTC).date(), actor=who.name, why=note.strip())
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    st.rerun()


def history(patch: SitePatch) -> None:
    """Draw who switched the patch when, the latest first."""
    if not patch.history:
        return
    rows = "".join(
        f'<tr><td class="o-nowrap">{day(date)}</td><td>{patch_card.STATES[status][0]}</td><td class="o-quiet">{escape(note)}</td></tr>'
        for date, status, note in reversed(patch.history)
    )
    frame.html(f'<table class="o-table"><tbody>{rows}</tbody></table>')


def show() -> None:
    """Draw the page."""
    sites = services.studies().sites
    if not sites:
        frame.nothing("No study has arrived yet.", "Take a folder in with `osler ingest FOLDER --site NAME`.")
        return
    adapted = [site for site in sites if services.patch_of(site)]
    title = st.empty()
    chosen = st.segmented_control(
        "Site", sites, default=(adapted or sites)[0], format_func=site_name, required=True, label_visibility="collapsed"
    )
    title.markdown(f"## {site_name(chosen)}")
    if st.session_state.get("adapting") == chosen:
        if st.button("Back to the site", icon=":material/arrow_back:", key="adapt_back"):
            st.session_state["adapting"] = None
            st.rerun()
        adapting.wizard(chosen)
        return
    told = st.session_state.pop(adapting.TOLD, None)
    if told:
        st.success(told)
    left, right = st.columns([6, 5], gap="large")
    patch = services.patch_of(chosen)
    with left:
        frame.kicker("What is done differently here")
        if patch is None:
            frame.html("<p>Nothing: no patch was made for this site.</p>")
        else:
            patch_card.changes(patch)
            if not patch.changes_nothing:
                switch(patch)
            history(patch)
        if st.button(
            "Adapt the model to this site", key="adapt_open", type="primary" if patch is None else "secondary"
        ):
            st.session_state["adapting"] = chosen
            st.rerun()
        if patch is not None:
            effect(patch)
    with right:
        intake(chosen)
        held_back.draw(chosen)
        arrivals.draw(chosen, services.drift(chosen))
        if session.allowed(Action.EXAMINE):
            examined.draw()


show()
