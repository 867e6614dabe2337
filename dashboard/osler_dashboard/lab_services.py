"""What the Shift lab asks of the training side: the experiments of the tracker, and their drawings and tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from osler.tracking import tracker_stamp
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import services
from osler_dashboard.settings import DARK, LIGHT
from osler_training.adaptation import page as bench_page
from osler_training.adaptation import plots as bench_plots
from osler_training.adaptation.table import GAINS
from osler_training.adaptation.track import EXPERIMENT as BENCH
from osler_training.experiments.tracked import Compared, Tracked, compare, experiments, unfold
from osler_training.shift import page as shift_page
from osler_training.shift import plots as shift_plots
from osler_training.shift.examine import examined_section
from osler_training.shift.markup import escape, grid, interval, section, signed
from osler_training.shift.moved import moved_tables

Part = tuple[str, str]  # `svg` or `html`, and the text
PAPER = re.compile(r"#(?:ffffff|FFFFFF)\b")
INK = re.compile(r"#(?:000000|333333)\b")


def tracked() -> list[Tracked]:
    """Return the experiments of the workspace, the latest first; read again when something was tracked."""
    opened = services.workspace()
    return _tracked(opened.root, tracker_stamp(opened))


@st.cache_resource(max_entries=2, show_spinner="Reading the experiments")
def _tracked(root: Path, written: tuple[object, ...]) -> list[Tracked]:
    return experiments(Workspace.open(root))


def views(one: Tracked) -> dict[str, Callable[[], list[Part]]]:
    """Return what can be shown of an experiment, by title; nothing is drawn before it is called.

    Raises:
        OslerError: `source-missing` where its files are gone or damaged.
    """
    folder = unfold(services.workspace(), one)
    try:
        return _of_bench(bench_page.Run(folder)) if one.kind == BENCH else _of_shift(shift_page.Run(folder))
    except (KeyError, ValueError, TypeError) as error:
        raise OslerError(
            Code.SOURCE_MISSING,
            f"The files of the experiment {one.name!r} cannot be read.",
            "Run the recipe again with this version of Osler.",
        ) from error


def _of_shift(run: shift_page.Run) -> dict[str, Callable[[], list[Part]]]:
    pairs = {f"{a} → {b}" if a != b else f"{a}, at home": (a, b) for a, b in run.tests}

    def results() -> list[Part]:
        parts: list[Part] = [_html(shift_page.head_of(run))]
        for name, pair in pairs.items():
            rows = run.rows(*pair)
            parts += [_html(f"<h3>{escape(run.metric.capitalize())}: {escape(name)}</h3>")]
            parts += [("svg", shift_plots.specification(rows, run.metric)), _html(shift_page.families(run, rows))]
        return parts

    def gaps() -> list[Part]:
        held = list(run.table["shift"])
        if not held:
            return [_html("<p>Every test was at home: there is no gap to measure.</p>")]
        told = "<p>In domain against elsewhere; on the dotted line nothing is lost.</p>"
        drawn: list[Part] = [_html(told), ("svg", shift_plots.id_ood(held, run.metric)), _html(shift_page.gaps(held))]
        away = [run.rows(*pair) for pair in run.tests if pair[0] != pair[1]]
        differences = [rows for rows in away if any("minus_same" in row for row in rows)]
        if differences:
            drawn += [_html("<h3>Paired differences to the best baseline probe</h3>")]
            drawn += [("svg", shift_plots.differences(rows, run.metric)) for rows in differences]
            drawn += [_html(shift_page.paired(run))]
        return drawn

    return {
        "Results": results,
        "Site by site": lambda: [_html(shift_page.matrices(run))],
        "Gaps": gaps,
        "Concepts": lambda: [_html("".join(moved_tables(run.lab, run.cells)) or "<p>No method here has concepts.</p>")],
        "Model cards": lambda: [_html(shift_page.cards_of(run))],
        "Controls and more": lambda: [
            _html(shift_page.controls_of(run) + examined_section(run.cells)),
            _html(shift_page.more_of(run) + shift_page.refused_of(run)),
        ],
        "Data": lambda: [_html(shift_page.data_of(run))],
    }


def _of_bench(run: bench_page.Run) -> dict[str, Callable[[], list[Part]]]:
    def gains() -> list[Part]:
        parts: list[Part] = [_html(bench_page.head_of(run))]
        for stream in dict.fromkeys(row["stream"] for row in run.table["pooled"]):
            rows = [row for row in run.table["pooled"] if row["stream"] == stream]
            parts.append(_html(f"<h3>All models and targets, {escape(stream)} stream</h3>"))
            for one in GAINS:
                told = f"<p>Gain over {escape(bench_plots.AGAINST[one])}; dashed: needs no label.</p>"
                parts += [_html(told), ("svg", bench_plots.gains(rows, run.table["shots"], one))]
            parts.append(_html(bench_page.tabled(rows)))
        return parts

    def targets() -> list[Part]:
        parts: list[Part] = []
        for ground in run.grounds:
            rows = [row for row in run.rows if bench_page.ground_of(row) == ground]
            source, target, seed, method, encoder, stream = (escape(str(one)) for one in ground)
            parts.append(_html(f"<h3>{source} → {target}: {method} on {encoder}, seed {seed}, {stream}</h3>"))
            parts.append(("svg", bench_plots.gains(rows, run.table["shots"], "no_change")))
            parts.append(_html(f"<details><summary>{len(rows)} rows</summary>{bench_page.tabled(rows)}</details>"))
        return parts

    return {
        "Gain by shots": gains,
        "Site by site": targets,
        "Baselines": lambda: [_html(bench_page.choices_of(run) + bench_page.planted_of(run))],
        "Data": lambda: [_html(bench_page.data_of(run) + bench_page.refused_of(run))],
    }


def _html(text: str) -> Part:
    return "html", text


@st.cache_data(max_entries=32, show_spinner="Comparing, patient by patient")
def _compared(root: Path, _first: Tracked, _second: Tracked, ids: tuple[str, str]) -> list[Compared]:
    return compare(Workspace.open(root), _first, _second)


def comparison(first: Tracked, second: Tracked) -> str:
    """Return the figures that two experiments share, with their difference, as a table.

    Raises:
        OslerError: As `compare`.
    """
    found = _compared(services.workspace().root, first, second, (first.id, second.id))
    if not found:
        return section(
            "Compared", "<p>The two have no cell in common: same sites, seed, encoder, preprocessing and method.</p>"
        )
    keys = ("source", "test", "method", "encoder", "preprocessing", "seed")
    lines = [
        [
            *(escape(one.name[key]) for key in keys),
            interval(one.first),
            interval(one.second),
            signed(one.difference),
            "same studies" if one.paired else "other studies",
        ]
        for one in found
    ]
    told = (
        "<p>Second less first, in points, 95% over patients. Where both predicted the same studies the difference is drawn "
        "patient by patient, otherwise independently.</p>"
    )
    named = (
        f"{escape(one.name)}<br><small>{escape(one.started[:16].replace('T', ' '))}</small>" for one in (first, second)
    )
    return section("Compared", told + grid([*keys, *named, "difference", "drawn on"], lines))


def themed(svg: str, dark: bool) -> str:
    """Return a drawing in the colours of the theme: paper and ink change, the colours of methods stay."""
    theme = DARK if dark else LIGHT
    text = PAPER.sub(theme["backgroundColor"], INK.sub(theme["textColor"], svg))
    return text.replace("<svg ", f'<svg fill="{theme["textColor"]}" ', 1)
