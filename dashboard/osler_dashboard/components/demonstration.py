"""What the demonstration measured: how each method fares at home and at the other hospital."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from osler_dashboard.components import frame
from osler_dashboard.settings import AGAINST, FOR, QUIET
from osler_dashboard.words import METHODS, percent, spoken

PLACES = {"id": "Own hospital", "ood": "Other hospital"}
COLUMNS = {"id": "Own hospital", "ood": "Other hospital", "gap": "Gap", "avg": "Mean of both"}


def _long(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a method and place, with the interval of its accuracy."""
    return pd.DataFrame(
        [
            {
                "method": METHODS.get(one["method"], spoken(one["method"])),
                "place": name,
                "accuracy": one[key],
                "low": one["ci"][key][0],
                "high": one["ci"][key][1],
            }
            for one in results
            for key, name in PLACES.items()
        ]
    )


def _plot(table: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    order = list(dict.fromkeys(table["method"]))
    scale = alt.Scale(domain=list(PLACES.values()), range=[FOR, AGAINST])
    base = alt.Chart(table).encode(
        y=alt.Y("method:N", sort=order, title=None, axis=alt.Axis(labelLimit=220, labelFontSize=13)),
        yOffset=alt.YOffset("place:N", sort=list(PLACES.values())),
        color=alt.Color("place:N", scale=scale, legend=alt.Legend(orient="top", title=None)),
    )
    x = alt.Scale(domain=[0, 1])
    spans = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low:Q", scale=x, title="Accuracy with 95% interval", axis=alt.Axis(format="%", tickCount=6)),
        x2="high:Q",
    )
    marks = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=x),
        shape=alt.Shape("place:N", scale=alt.Scale(domain=list(PLACES.values()), range=["circle", "diamond"])),
        tooltip=["method", "place", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high"))],
    )
    chance = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(strokeDash=[3, 4], color=QUIET).encode(x="x:Q")
    return alt.layer(chance, spans, marks).properties(height=alt.Step(22))


def _cell(one: dict[str, Any], key: str) -> str:
    low, high = one["ci"][key]
    return f'{percent(one[key], 1)} <span class="o-quiet">{100 * low:.1f} to {100 * high:.1f}</span>'


def _table(results: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Method", *COLUMNS.values()))
    rows = "".join(
        f"<tr><td>{METHODS.get(one['method'], spoken(one['method']))}</td>"
        + "".join(f"<td>{_cell(one, key)}</td>" for key in COLUMNS)
        + "</tr>"
        for one in results
    )
    return f'<table class="o-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def demonstration(results: list[dict[str, Any]]) -> None:
    """Draw the figures that the demonstration left."""
    frame.kicker("Phantom data: simulated radiographs, no patient")
    st.markdown("### Does it hold when the hospital changes?")
    frame.html(
        '<p class="o-quiet">Accuracy on test studies of the hospital that the methods learned from, and of another where what'
        " went along with the diagnosis by accident is reversed. Intervals are 95%, by resampling patients.</p>"
    )
    st.altair_chart(_plot(_long(results)), width="stretch")
    frame.html(_table(results))
