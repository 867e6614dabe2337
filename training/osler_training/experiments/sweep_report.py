"""The tables and the plot of a sweep: means over seeds with their 95% intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from osler_training.experiments.sweep_cell import TESTS
from osler_training.experiments.sweep_tables import markdown

COLOURS = {
    "bottleneck_prior": "#0b6e4f",
    "bottleneck": "#6fbf73",
    "report_probe": "#3b6fb6",
    "linear_probe": "#e08e0b",
    "fine_tuned_cnn": "#c0392b",
    "fine_tuned_encoder": "#8e44ad",
}


def tidy(cells: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a row a cell, method, test and quantity (`accuracy`, or `lead` over that method; see also `adapted`)."""
    rows: list[dict[str, Any]] = [
        {
            **_named(cell),
            "quantity": quantity,
            "method": method,
            "test": test,
            "value": one["value"],
            "ci_low": one["ci"][0],
            "ci_high": one["ci"][1],
        }
        for cell in cells
        for quantity in ("accuracy", "lead")
        for method, row in cell[quantity].items()
        for test, one in row.items()
    ]
    return pd.DataFrame(rows + [row for cell in cells for row in adapted(cell)])


def adapted(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a cell's adaptation: the variant as method, hospital B or A (`source`) as test."""
    tests = dict.fromkeys(("target_before", "target_after", "gain", "harmed", "unchanged"), "target")
    tests |= dict.fromkeys(("source_before", "source_after", "source_after_ungated"), "source")
    return [
        {
            **_named(cell),
            "quantity": quantity,
            "method": variant,
            "test": test,
            "value": record[quantity],
            **dict(zip(("ci_low", "ci_high"), record["ci"].get(quantity, (np.nan, np.nan)), strict=True)),
        }
        for variant, record in cell.get("adaptation", {}).items()
        for quantity, test in tests.items()
    ]


def _named(cell: dict[str, Any]) -> dict[str, Any]:
    nuisance = cell["provenance"].get("nuisance", "")
    return {"arm": cell["arm"], "nuisance": nuisance, "level": cell["level"], "seed": cell["seed"]}


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, with two 95% intervals.

    `ci_low` and `ci_high` are Student's t over the seeds, each of which has another nuisance: what to expect of other
    nuisances; NaN where there is one seed. `fixed_low` and `fixed_high` hold these nuisances fixed: from the bootstraps
    over the patients of each cell, who are other patients in each; NaN where a cell has none.
    """
    variances = table.assign(variance=((table["ci_high"] - table["ci_low"]) / (2 * stats.norm.ppf(0.975))) ** 2)
    grouped = variances.groupby(["arm", "quantity", "method", "test", "level"])
    summary = grouped.agg(
        mean=("value", "mean"),
        seeds=("value", "count"),
        sd=("value", "std"),
        variance=("variance", lambda group: group.sum(skipna=False)),
    ).reset_index()
    half = stats.t.ppf(0.975, np.maximum(summary["seeds"] - 1, 1)) * summary["sd"] / np.sqrt(summary["seeds"])
    fixed = stats.norm.ppf(0.975) * np.sqrt(summary["variance"]) / summary["seeds"]
    return summary.assign(
        ci_low=summary["mean"] - half,
        ci_high=summary["mean"] + half,
        fixed_low=summary["mean"] - fixed,
        fixed_high=summary["mean"] + fixed,
    ).drop(columns=["sd", "variance"])


def write_report(cells: Sequence[dict[str, Any]], folder: Path) -> pd.DataFrame:
    """Write `cells.csv`, `summary.csv`, `tables.md` and `sweep.png`; return the summary."""
    table = tidy(cells)
    summary = over_seeds(table)
    table.to_csv(folder / "cells.csv", index=False, float_format="%.4f")
    summary.to_csv(folder / "summary.csv", index=False, float_format="%.4f")
    (folder / "tables.md").write_text(markdown(table, summary), encoding="utf-8")
    plot(summary, folder / "sweep.png")
    return summary


def plot(summary: pd.DataFrame, path: Path) -> None:
    """Draw accuracy against confounding: a row an arm, a column a test set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    arms = list(dict.fromkeys(summary["arm"]))
    figure = Figure(figsize=(4.2 * len(TESTS), 3.4 * len(arms) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(arms), len(TESTS), sharey=True, squeeze=False)
    for r, arm in enumerate(arms):
        for c, test in enumerate(TESTS):
            chosen = summary.query("arm == @arm and test == @test and quantity == 'accuracy'")
            _panel(axes[r, c], chosen, f"{arm.replace('_', ' ')}: {test} test")
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy")
    for axis in axes[-1]:
        axis.set_xlabel("confounding in training")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("Phantoms: mean over seeds, 95% intervals")
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _panel(axis: Any, chosen: pd.DataFrame, title: str) -> None:
    for method, rows in sorted(chosen.groupby("method"), key=lambda pair: list(COLOURS).index(str(pair[0]))):
        rows = rows.sort_values("level")
        colour = COLOURS[str(method)]
        axis.plot(rows["level"], rows["mean"], "o-", ms=3, color=colour, label=str(method).replace("_", " "))
        axis.fill_between(rows["level"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.12, lw=0)
    axis.axhline(0.5, color="0.6", lw=0.8, ls=":")
    axis.set_title(title, fontsize=10)
    axis.set_ylim(0, 1.02)
    axis.grid(alpha=0.25)
