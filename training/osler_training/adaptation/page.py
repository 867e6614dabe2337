"""One self-contained page of a bench: what a reader needs to choose an adapter, or to choose none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from osler_training.adaptation import plots
from osler_training.adaptation.markdown import legend
from osler_training.adaptation.table import GAINS, SECONDS
from osler_training.experiments.resumable import read_json
from osler_training.shift.frame import RunFolder, document, head
from osler_training.shift.markup import code, escape, figure, grid, interval, points, section, signed

Row = Mapping[str, Any]
PAGE = "report.html"
HEADS = [
    "preprocessing", "adapter", "n", "balanced accuracy", "over no change", "over none", "over best label-free",
    "worst class", "harmful", "harmful against label-free", "no change", "source lost, ungated",
]  # fmt: skip


def write_page(folder: Path) -> Path:
    """Write the page of a finished bench.

    Raises:
        OslerError: `source-missing` where the folder holds no bench.
    """
    run = Run(folder)
    parts = [head_of(run), data_of(run), *pooled_of(run), *targets_of(run), planted_of(run), choices_of(run)]
    parts += [seconds_of(run), refused_of(run)]
    path = folder / PAGE
    path.write_text(document(f"Adaptation: {run.recipe['name']}", parts), encoding="utf-8")
    return path


class Run(RunFolder):
    """What a bench left in its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "osler adapt bench")
        self.seconds: list[dict[str, Any]] = read_json(folder / SECONDS)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every adapter in every cell."""
        return list(self.table["rows"])

    @property
    def grounds(self) -> list[tuple[Any, ...]]:
        """Model, target and stream of each group of rows."""
        return list(dict.fromkeys(ground_of(row) for row in self.rows))


def ground_of(row: Row) -> tuple[Any, ...]:
    """Return the model, the target and the stream of a row."""
    return tuple(row[key] for key in ("source", "target", "seed", "method", "encoder", "stream"))


def head_of(run: Run) -> str:
    """Return title, notices, and what the bench can be traced by."""
    halves = ", ".join(f"{escape(name)} {code(one['digest'])}" for name, one in run.lab["halves"].items())
    told = (
        "Every patch was confined to its site: predictions at the source were the same to the last bit with each of them, "
        "which was checked. What the source would lose without that confinement is the last column."
    )
    return head(run, {"Halves, streams and supports": halves}, f"<p>{escape(legend(run.table))}</p><p>{told}</p>")


def data_of(run: Run) -> str:
    """Return the sizes of halves and the shots that they allow."""
    classes = run.recipe["classes"]
    lines = [
        [escape(name), *(f"{one['test'][each]} / {one['pool'][each]}" for each in classes), ", ".join(one["shots"])]
        for name, one in run.lab["halves"].items()
    ]
    told = "<p>Test half / pool, by class. Label-free statistics, streams and supports are of the pool alone.</p>"
    refused = "".join(f"<p>Not benched: {escape(why)}</p>" for why in run.lab["targets_refused"].values())
    return section("Sites", told + grid(["target", *map(escape, classes), "shots"], lines) + refused)


def pooled_of(run: Run) -> list[str]:
    """Return curves and table over all models and targets, a section a stream."""
    parts = []
    for stream in dict.fromkeys(row["stream"] for row in run.table["pooled"]):
        rows = [row for row in run.table["pooled"] if row["stream"] == stream]
        drawn = "".join(
            figure(
                plots.gains(rows, run.table["shots"], one), f"Gain over {plots.AGAINST[one]}; dashed: needs no label."
            )
            for one in GAINS
        )
        told = "<p>Means over models and targets; draws of all of them are counted together.</p>"
        parts.append(section(f"All models and targets, {escape(stream)} stream", told + drawn + tabled(rows)))
    return parts


def targets_of(run: Run) -> list[str]:
    """Return curve and table of each model at each target."""
    parts = []
    for ground in run.grounds:
        rows = [row for row in run.rows if ground_of(row) == ground]
        source, target, seed, method, encoder, stream = map(str, ground)
        drawn = figure(
            plots.gains(rows, run.table["shots"], "no_change"), "Gain over no change with the same preprocessing."
        )
        body = f"<details><summary>{len(rows)} rows</summary>{tabled(rows)}{edits_of(rows)}</details>"
        title = f"{source} to {target}: {method} on {encoder}, seed {seed}, {stream} stream"
        parts.append(section(escape(title), drawn + body))
    return parts


def tabled(rows: Sequence[Row]) -> str:
    """Return the table of figures."""
    lines = [
        [
            escape(row["preprocessing"]),
            escape(row["adapter"]),
            str(row["n"] or "–"),
            interval(row),
            *(signed(row["gain"][name]) for name in GAINS),
            points(row["worst_class"]),
            *(harm_of(row["harmed"][name]) for name in ("no_change", "label_free")),
            f"{100 * row['unchanged']:.0f}%",
            points(row["source_lost"]),
        ]
        for row in rows
    ]
    return grid(HEADS, lines)


def edits_of(rows: Sequence[Row]) -> str:
    """Return what patches change, why others change nothing, and how concepts are told afterwards."""
    lines = [
        [
            escape(row["preprocessing"]),
            escape(row["adapter"]),
            str(row["n"] or "–"),
            *(f"{row['edits'][name]:.1f}" for name in ("masked", "gained", "shifted", "mapped")),
            *(f"{100 * row['kinds'][name]:.0f}%" for name in ("preprocessing", "scorer", "head")),
            points(row["concept_auroc"]),
            escape(
                ", ".join(
                    [
                        *(f"{name} {count}" for name, count in row["guards"].items()),
                        *(f"{code} {one['draws']}: {one['message']}" for code, one in row["refused"].items()),
                    ]
                )
            ),
        ]
        for row in rows
    ]
    heads = ["preprocessing", "adapter", "n", "masked", "gained", "shifted", "mapped", "patches: preprocessing"]
    heads += ["scorer", "head", "concept AUROC", "why no change"]
    return grid(heads, lines)


def planted_of(run: Run) -> str:
    """Return how often the planted concepts were masked."""
    lines = [
        [
            *map(
                escape, (row["target"], row["encoder"], row["preprocessing"], row["stream"], row["adapter"], row["n"])
            ),
            escape(name),
            f"{100 * one['share']:.0f}% <small>at least {100 * one['lower']:.0f}%</small>",
        ]
        for row in run.rows
        for name, one in row["planted"].items()
    ]
    heads = ["target", "encoder", "preprocessing", "stream", "adapter", "n", "planted concept", "masked in"]
    return section("Planted causes", grid(heads, lines)) if lines else ""


def choices_of(run: Run) -> str:
    """Return the best label-free baseline of each ground, and from which n the rival is ahead."""
    best = [
        [*map(escape, ground_of(row)), escape(f"{row['preprocessing']}, {row['adapter']}"), interval(row)]
        for row in run.table["label_free"]
    ]
    heads = ["source", "target", "seed", "method", "encoder", "stream"]
    body = grid([*heads, "best label-free", "balanced accuracy"], best)
    if run.table["overtaken"]:
        lines = [
            [
                *map(escape, ground_of(row)),
                *map(escape, (row["preprocessing"], row["adapter"])),
                str(row["n"] or "never"),
            ]
            for row in run.table["overtaken"]
        ]
        told = f"From how many shots {escape(run.recipe['rival'])} is ahead and stays ahead"
        table = grid([*heads, "preprocessing", "adapter", "from n"], lines)
        body += f"<details><summary>{told}</summary>{table}</details>"
    return section("Baselines", body)


def seconds_of(run: Run) -> str:
    """Return the seconds of a fit."""
    lines = [
        [escape(row["adapter"]), str(row["n"] or "–"), str(row["fits"]), f"{row['median']:.3f}", f"{row['p95']:.3f}"]
        for row in run.seconds
    ]
    return section("Seconds a fit, one thread", grid(["adapter", "n", "fits", "median", "95th percentile"], lines))


def refused_of(run: Run) -> str:
    """Return the cells that could not be benched."""
    lines = [[escape(", ".join(map(str, one["cell"].values()))), escape(one["message"])] for one in run.refused]
    return section("Not applicable", grid(["cell", "why"], lines)) if lines else ""


def harm_of(one: Mapping[str, float]) -> str:
    """Return a share of harmful draws with its upper bound."""
    return f"{100 * one['share']:.0f}% <small>at most {100 * one['upper']:.0f}%</small>"
