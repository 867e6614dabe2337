"""The record of a rerun as a text table, in per cent as the source prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNMEASURED = "unmeasured"
_COLUMNS = ("id", "ood", "gap", "avg", "unconf")


def table_lines(record: Mapping[str, Any]) -> list[str]:
    """Return a table a modality: a row a set and method, then the averages."""
    lines = [f"{record['table']}, concepts of {record['bottleneck']}, seed {record['seed']}; per cent, 95% intervals."]
    for about in record["conditions"]:
        name = about["modality"]
        rows = [row for row in record["rows"] if row["modality"] == name]
        lines += [
            "",
            f"{name}, features of {about['model']}: {about['sets']} of {len({row['set'] for row in rows})} sets.",
        ]
        cells = [["set", "method", *_COLUMNS]]
        cells += [[row["set"], row["method"], *(_cell(row, column) for column in _COLUMNS)] for row in rows]
        lines += _aligned(cells)
        means = [["average", "method", *_COLUMNS, "overall"]]
        means += [
            [name, one["method"], *(_mean(one[column]) for column in (*_COLUMNS, "overall"))]
            for one in record["summary"]
            if one["modality"] == name
        ]
        lines += ["", *_aligned(means)]
    reasons = sorted({row[UNMEASURED] for row in record["rows"] if UNMEASURED in row})
    if reasons:
        lines += ["", "Unmeasured:", *(f"  {reason}" for reason in reasons)]
    return [*lines, "", f"Protocol: {record['protocol']}."]


def _cell(row: Mapping[str, Any], column: str) -> str:
    if UNMEASURED in row:
        return UNMEASURED if column == _COLUMNS[0] else ""
    if column not in row:
        return ""
    low, high = row[column]["ci"]
    return f"{100 * row[column]['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _mean(value: float | str) -> str:
    return value if isinstance(value, str) else f"{100 * value:.1f}"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
