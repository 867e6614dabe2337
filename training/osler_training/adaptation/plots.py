"""Gain against shots, with intervals, as SVG that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from osler_training.shift.plots import COLOURS, MARKS, new_figure, to_svg

Row = Mapping[str, Any]
AGAINST = {
    "no_change": "no change, same preprocessing",
    "none": "no change, no preprocessing",
    "label_free": "the best label-free baseline",
}


def gains(rows: Sequence[Row], shots: Sequence[int], against: str) -> str:
    """Draw the gain of every adapter against the number of shots, a panel a preprocessing.

    Args:
        rows: Pooled rows of one stream, or those of one model and target.
        shots: Numbers of shots, ascending.
        against: One of `AGAINST`.

    An adapter that needs no shots is a dashed line; labelled ones stand beside each other at their number of shots.
    """
    panels = list(dict.fromkeys(row["preprocessing"] for row in rows))
    adapters = list(dict.fromkeys(row["adapter"] for row in rows))
    columns = min(2, len(panels))
    lines = int(np.ceil(len(panels) / columns))
    figure = new_figure(4.2 * columns + 2.2, 3.0 * lines + 0.5)
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        for place, adapter in enumerate(adapters):
            own = [row for row in rows if row["preprocessing"] == panel and row["adapter"] == adapter]
            offset = (place / max(len(adapters) - 1, 1) - 0.5) * 0.5
            _line(axis, own, shots, against, style_of(place), offset)
        axis.axhline(0, color="#333333", lw=0.9)
        axis.set_title(panel, fontsize=9)
        axis.set_xticks(range(len(shots)), [str(n) for n in shots])
        axis.tick_params(labelbottom=True)
        axis.grid(axis="y", alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel("labelled studies of each class", fontsize=9)
    figure.supylabel(f"gain over {AGAINST[against]} (points)", fontsize=9)
    _legend(figure, adapters, rows)
    return to_svg(figure)


def style_of(place: int) -> tuple[str, str]:
    """Return colour and mark of an adapter."""
    return COLOURS[place % len(COLOURS)], MARKS[(place + place // len(COLOURS)) % len(MARKS)]


def _line(
    axis: Any, rows: Sequence[Row], shots: Sequence[int], against: str, style: tuple[str, str], offset: float
) -> None:
    colour, mark = style
    points = []
    for row in rows:
        one = row["gain"][against]
        if row["n"] == 0:
            axis.axhline(100 * one["value"], color=colour, lw=1.1, ls="--")
        elif row["n"] in shots:
            points.append((shots.index(row["n"]) + offset, *(100 * one[key] for key in ("value", "ci_low", "ci_high"))))
    if points:
        x, value, low, high = np.array(sorted(points)).T
        axis.plot(x, value, mark, ls="-", lw=0.8, ms=4, color=colour)
        axis.vlines(x, low, high, color=colour, lw=1.0)


def _legend(figure: Any, adapters: Sequence[str], rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    free = {row["adapter"] for row in rows if row["n"] == 0}
    handles = []
    for place, adapter in enumerate(adapters):
        colour, mark = style_of(place)
        shape = "" if adapter in free else mark
        handle = Line2D([], [], color=colour, label=adapter, marker=shape, markersize=4)
        handle.set_linestyle("--" if adapter in free else "-")
        handles.append(handle)
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
