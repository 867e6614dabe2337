"""The table of a bench as Markdown, ready for a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from osler_training.adaptation import paired
from osler_training.experiments.resumable import read_json

NAME = "table.md"
HEADS = (
    "preprocessing", "adapter", "n", "balanced accuracy", "over no change", "over none", "over best label-free",
    "harmful (upper)", "harmful against label-free (upper)", "no change", "source lost, ungated",
)  # fmt: skip


def write_markdown(out: Path, shots: Sequence[int] | None = None) -> Path:
    """Write `table.md`: the pooled rows of every stream, then those of each target, at some numbers of shots."""
    table = read_json(out / "table.json")
    chosen = set(table["shots"] if shots is None else shots) | {0}
    text = [f"# {table['recipe']}" + (" (phantoms)" if table["phantom"] else ""), "", legend(table)]
    for stream in dict.fromkeys(row["stream"] for row in table["pooled"]):
        rows = [row for row in table["pooled"] if row["stream"] == stream and row["n"] in chosen]
        text += ["", f"## All models and targets, {stream} stream", "", *grid(rows)]
    heads = dict.fromkeys((row["encoder"], row["method"], row["source"], row["target"]) for row in table["rows"])
    for encoder, method, source, target in heads:
        rows = [
            row
            for row in table["rows"]
            if (row["encoder"], row["method"], row["source"], row["target"]) == (encoder, method, source, target)
            and row["n"] in chosen
            and row["stream"] == table["rows"][0]["stream"]
        ]
        text += ["", f"## {source} to {target}, {method} on {encoder}, {rows[0]['stream']} stream", "", *grid(rows)]
    text += ["", "## On the same draws", "", *paired.lines(row for row in table["paired"] if row["n"] in chosen)]
    path = out / NAME
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def legend(table: Mapping[str, Any]) -> str:
    """Return what the figures are."""
    return (
        f"Balanced accuracy in points on the test half, mean over {table['draws']} support draws, with 95% intervals of a "
        "bootstrap over draws and patients. n: labelled studies of each class; 0: the adapter needs none. Harmful: share of "
        f"draws worse by more than {100 * table['harm']:g} points, with the upper bound (Clopper-Pearson, one-sided 95%); all "
        "draws share one test half. The best label-free baseline is the best on that very half, which nobody could know."
    )


def grid(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return rows as lines of a Markdown table."""
    lines = ["| " + " | ".join(HEADS) + " |", "| " + " | ".join("---" for _ in HEADS) + " |"]
    return lines + ["| " + " | ".join(line(row)) + " |" for row in rows]


def line(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of one row."""
    return [
        row["preprocessing"],
        row["adapter"],
        str(row["n"]),
        f"{100 * row['value']:.1f}",
        *(signed(row["gain"][name]) for name in ("no_change", "none", "label_free")),
        *(harm(row["harmed"][name]) for name in ("no_change", "label_free")),
        f"{100 * row['unchanged']:.0f}%",
        f"{100 * row['source_lost']:.1f}",
    ]


def signed(one: Mapping[str, float]) -> str:
    """Return a gain with its interval, in points."""
    return f"{100 * one['value']:+.1f} ({100 * one['ci_low']:.1f} to {100 * one['ci_high']:.1f})"


def harm(one: Mapping[str, float]) -> str:
    """Return a share of harmful draws with its upper bound."""
    return f"{100 * one['share']:.0f}% ({100 * one['upper']:.0f}%)"
