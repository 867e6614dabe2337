"""The tables of a sweep in Markdown, as `docs/results.md` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

NAMES = {
    "linear_probe": "linear probe",
    "report_probe": "report-supervised probe",
    "fine_tuned_cnn": "fine-tuned CNN",
    "fine_tuned_encoder": "fine-tuned encoder",
    "bottleneck": "bottleneck, no prior",
    "bottleneck_prior": "bottleneck with prior",
}


def markdown(table: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return every table of a sweep.

    Args:
        table: A row a cell, as `sweep_report.tidy` makes it.
        summary: Means over seeds, as `sweep_report.over_seeds` makes them.
    """
    parts = []
    for arm in dict.fromkeys(summary["arm"]):
        for quantity, test in (
            ("lead", "balanced"),
            ("lead", "reversed"),
            ("accuracy", "id"),
            ("accuracy", "reversed"),
        ):
            chosen = summary.query("arm == @arm and quantity == @quantity and test == @test")
            if len(chosen):
                parts.append(f"## {arm}: {quantity}, {test} test\n\n{_by_level(chosen, quantity)}")
        parts += [_by_nuisance(table, arm), _adaptation(summary, arm)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_level(chosen: pd.DataFrame, quantity: str) -> str:
    levels = sorted(chosen["level"].unique())
    lines = []
    for method in _ordered(chosen["method"]):
        rows = chosen.query("method == @method").set_index("level")
        lines.append([NAMES.get(method, method), *(_cell(rows.loc[level], quantity) for level in levels)])
    return _table(["lead over" if quantity == "lead" else "accuracy", *(f"{level:g}" for level in levels)], lines)


def _cell(row: Any, quantity: str) -> str:
    sign = "+" if quantity in ("lead", "gain") else ""
    mean, low, high, near, far = (100 * row[key] for key in ("mean", "ci_low", "ci_high", "fixed_low", "fixed_high"))
    text = f"{mean:{sign}.1f} [{low:.1f}, {high:.1f}]"
    # Over patients, with the nuisances held.
    return text if pd.isna(near) else f"{text} ({near:.1f}, {far:.1f})" if sign else text


def _by_nuisance(table: pd.DataFrame, arm: str) -> str:
    """Return accuracy on the reversed test at the highest level, a row a seed."""
    chosen = table.query("arm == @arm and quantity == 'accuracy' and test == 'reversed'")
    chosen = chosen[chosen["level"] == chosen["level"].max()]
    methods = _ordered(chosen["method"])
    lines = []
    for (seed, nuisance), rows in chosen.groupby(["seed", "nuisance"]):
        values = rows.set_index("method")["value"]
        name = str(nuisance).replace("_", " ")
        lines.append([f"{name} ({seed})", *(f"{100 * values[method]:.1f}" for method in methods)])
    title = f"## {arm}: accuracy, reversed test, confounding {chosen['level'].max():g}"
    return f"{title}\n\n{_table(['nuisance (seed)', *(NAMES.get(one, one) for one in methods)], lines)}"


def _adaptation(summary: pd.DataFrame, arm: str) -> str:
    chosen = summary.query("arm == @arm and quantity == 'gain'")
    if chosen.empty:
        return ""
    quantities = (
        "target_before",
        "target_after",
        "gain",
        "harmed",
        "unchanged",
        "source_before",
        "source_after_ungated",
    )
    lines = []
    for variant, level in chosen[["method", "level"]].itertuples(index=False):
        rows = summary.query("arm == @arm and method == @variant and level == @level").set_index("quantity")
        means = {str(name): float(mean) for name, mean in rows["mean"].items()}
        cells = [_cell(rows.loc[one], one) if one == "gain" else f"{100 * means[one]:.1f}" for one in quantities]
        lines.append([variant, f"{level:g}", *cells])
    heads = ["variant", "confounding", "before", "after", "gain", "harmed", "no change", "source", "source, ungated"]
    return f"## {arm}: adaptation to hospital B\n\n{_table(heads, lines)}"


def _ordered(methods: Iterable[str]) -> list[str]:
    held = set(methods)
    return [name for name in NAMES if name in held] + sorted(held - set(NAMES))


def _table(heads: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *lines))
