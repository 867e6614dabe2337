"""The drawings of a page, as SVG that needs nothing from elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Okabe and Ito (2008), which colour-blind readers can tell apart; black is kept for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F6000", "#999999", "#4B0082", "#A52A2A")
MARKS = "osD^vP*X<>"
Row = Mapping[str, Any]


def specification(rows: Sequence[Row], metric: str) -> str:
    """Draw every row with its interval, sorted, its choices below: encoder, preprocessing, method."""
    known = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["value"])
    slots = [(slot, list(dict.fromkeys(row[slot] for row in rows))) for slot in ("method", "encoder", "preprocessing")]
    names = [(slot, one) for slot, several in slots if len(several) > 1 or slot == "method" for one in several]
    figure = new_figure(max(6.5, 0.16 * len(known) + 3.5), 2.6 + 0.17 * len(names))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 0.17 * len(names) + 0.2])
    colours = _colours(rows)
    for x, row in enumerate(known):
        _whisker(top, x, row, colours[row["method"]])
        for y, (slot, one) in enumerate(names):
            chosen = row[slot] == one
            bottom.plot(x, -y, "s", ms=4 if chosen else 1.2, color=colours[row["method"]] if chosen else "#d3d8de")
    top.set_ylabel(f"{metric} (points)")
    top.grid(axis="y", alpha=0.3)
    bottom.set_yticks([-y for y in range(len(names))], [one for _, one in names], fontsize=8)
    bottom.set_xticks([])
    for side in bottom.spines.values():
        side.set_visible(False)
    return to_svg(figure)


def differences(rows: Sequence[Row], metric: str) -> str:
    """Draw the paired difference of every row to its baseline, with its interval."""
    known = sorted(
        (row for row in rows if _differs(row.get("minus_same") or {})),
        key=lambda row: row["minus_same"]["value"],
    )
    figure = new_figure(7.5, 0.9 + 0.2 * len(known))
    axis = figure.subplots()
    colours = _colours(rows)
    for y, row in enumerate(known):
        one = row["minus_same"]
        axis.plot(100 * one["value"], y, "o", ms=4, color=colours[row["method"]])
        if one["ci_low"] is not None:
            axis.plot([100 * one["ci_low"], 100 * one["ci_high"]], [y, y], "-", lw=1.3, color=colours[row["method"]])
    axis.axvline(0, color="#333333", lw=0.9)
    axis.set_yticks(range(len(known)), [_named(row) for row in known], fontsize=8)
    axis.set_xlabel(f"difference in {metric} (points)")
    axis.grid(axis="x", alpha=0.3)
    return to_svg(figure)


def id_ood(rows: Sequence[Row], metric: str) -> str:
    """Draw ID against OOD, a panel a pair of source and test, a colour a method, a mark a preprocessing."""
    pairs = list(dict.fromkeys((row["source"], row["test"]) for row in rows))
    kinds = list(dict.fromkeys(row["preprocessing"] for row in rows))
    columns = min(3, len(pairs))
    lines = int(np.ceil(len(pairs) / columns))
    figure = new_figure(3.3 * columns + 2.2, 3.3 * lines + 0.4)
    axes = np.atleast_1d(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    colours = _colours(rows)
    values = [100 * row[one]["value"] for row in rows for one in ("id", "ood") if row[one]["value"] is not None]
    low, high = (min(values) - 3, max(values) + 3) if values else (0.0, 100.0)
    for axis, (source, test) in zip(axes, pairs, strict=False):
        axis.plot([low, high], [low, high], ":", color="#8a93a0", lw=1)
        for row in rows:
            if (row["source"], row["test"]) == (source, test) and None not in (row["id"]["value"], row["ood"]["value"]):
                mark = MARKS[kinds.index(row["preprocessing"]) % len(MARKS)]
                place = (100 * row["id"]["value"], 100 * row["ood"]["value"])
                axis.plot(*place, mark, ms=5, color=colours[row["method"]], alpha=0.85)
        axis.set(title=f"{source} to {test}", xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.grid(alpha=0.25)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    figure.supxlabel(f"in domain, {metric}", fontsize=9)
    figure.supylabel("elsewhere", fontsize=9)
    _legend(figure, colours, kinds)
    return to_svg(figure)


def _differs(one: Row) -> bool:
    """Return whether a difference is known and is not that of the baseline to itself."""
    return one.get("value") is not None and any(one[key] != 0 for key in ("value", "ci_low", "ci_high"))


def _legend(figure: Any, colours: Mapping[str, str], kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", ls="", color=colour, label=name) for name, colour in colours.items()]
    handles += [
        Line2D([], [], marker=MARKS[place % len(MARKS)], ls="", color="#5b6675", label=name)
        for place, name in enumerate(kinds)
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)


def _whisker(axis: Any, x: int, row: Row, colour: str) -> None:
    axis.plot(x, 100 * row["value"], "o", ms=4, color=colour)
    if row["ci_low"] is not None:
        axis.plot([x, x], [100 * row["ci_low"], 100 * row["ci_high"]], "-", lw=1.1, color=colour)


def _named(row: Row) -> str:
    return f"{row['method']} · {row['encoder']} · {row['preprocessing']}"


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    methods = dict.fromkeys(row["method"] for row in rows)
    return {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(methods)}


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure, in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Any) -> str:
    """Return the drawing without what a page cannot use: declarations, dates, and names that other drawings have too."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "osler", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text
