"""The table of a bench: every adapter at every target, and over all targets, with gains, harm and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.records import BoolArray
from osler_training.adaptation.cell import BEFORE, NONE_BEFORE, RESULT, TIMES, read_right
from osler_training.adaptation.estimates import Resampling, harm, lower_bound, overtaken_from, upper_bound
from osler_training.adaptation.paired import paired
from osler_training.adaptation.plan import Cell, Fit, cells_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.evaluate.bootstrap import Estimate, mean_of
from osler_training.experiments.resumable import read_json, write_json
from osler_training.shift.recipe import NONE

TABLE, SECONDS = "table.json", "seconds.json"
NO_CHANGE = "no change"
GAINS = ("no_change", "none", "label_free")
GROUND = ("source", "seed", "encoder", "method", "target", "preprocessing", "stream")
Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Entry:
    """One adapter with n shots in one cell and stream.

    Attributes:
        cell: The cell.
        row: What the cell says of it.
        right: Right predictions of each draw (S, n).
        after: Balanced accuracy.
        gains: Over no change under the same preprocessing, over no change without one, over the best label-free baseline.
        harmed: Draws that are worse than each by more than the margin, and the number of draws.
    """

    cell: Cell
    row: dict[str, Any]
    right: BoolArray
    after: Estimate
    gains: Mapping[str, Estimate]
    harmed: Mapping[str, tuple[int, int]]

    @property
    def name(self) -> str:
        """Name of the adapter."""
        return str(self.row["adapter"])


@dataclass(frozen=True, eq=False)
class Ground:
    """A model at a target in one stream: what its cells are compared with.

    Attributes:
        resampling: The bootstrap of the test half.
        right: Right predictions by preprocessing and name in the cell.
        records: The cells' records by preprocessing.
        stream: The stream.
        fit: The model.
        target: The target.
    """

    resampling: Resampling
    right: Mapping[str, Mapping[str, BoolArray]]
    records: Mapping[str, dict[str, Any]]
    stream: str
    fit: Fit
    target: str

    def label_free(self) -> tuple[str, str, BoolArray]:
        """Return the best that needs no label: preprocessing, adapter, and right predictions.

        It is the best on this very test half, which nobody could have known: harder to beat than an honest choice.
        """
        rivals = [(NONE, NO_CHANGE, next(iter(self.right.values()))[f"{self.stream}/{NONE_BEFORE}"])]
        for preprocessing, right in self.right.items():
            rivals.append((preprocessing, NO_CHANGE, right[f"{self.stream}/{BEFORE}"]))
            rivals += [
                (preprocessing, row["adapter"], right[_key(row)]) for row in self.rows(preprocessing) if not row["n"]
            ]
        return max(rivals, key=lambda one: float(self.resampling.each(one[2]).mean()))

    def rows(self, preprocessing: str) -> Rows:
        """Return the rows of a cell in this stream that were not refused in every draw."""
        return [row for row in self.records[preprocessing]["rows"] if row["stream"] == self.stream]

    def entries(self, recipe: AdaptRecipe) -> Iterator[Entry]:
        """Yield every adapter in every cell, no change first."""
        best = self.label_free()[2]
        for preprocessing, right in self.right.items():
            cell = Cell(self.fit, self.target, preprocessing)
            against = {
                "no_change": right[f"{self.stream}/{BEFORE}"],
                "none": right[f"{self.stream}/{NONE_BEFORE}"],
                "label_free": best,
            }
            for row in (no_change(self.records[preprocessing], self.stream), *self.rows(preprocessing)):
                yield self.entry(recipe, cell, row, right[_key(row)], against)

    def entry(
        self, recipe: AdaptRecipe, cell: Cell, row: dict[str, Any], right: BoolArray, against: Mapping[str, BoolArray]
    ) -> Entry:
        """Return an adapter with n shots, compared."""
        r = self.resampling
        after, each = r.accuracy(right), r.each(right)
        gains = {name: after.minus(r.accuracy(one)) for name, one in against.items()}
        harmed = {name: harm(each, r.each(one)[0], recipe.harm) for name, one in against.items()}
        return Entry(cell, row, right, after, gains, harmed)


def write_table(out: Path) -> dict[str, Any]:
    """Write `table.json` from the finished cells and return it.

    Call it where numbers are summed by one thread, as in `in_parallel`: the same cells then give the same bytes.
    """
    recipe = AdaptRecipe.model_validate(read_json(out / "recipe.json")["recipe"])
    table = make_table(recipe, out)
    write_json(out / TABLE, table)
    write_json(out / SECONDS, seconds(recipe, out))
    return table


def seconds(recipe: AdaptRecipe, out: Path) -> Rows:
    """Return median and 95th percentile of the seconds a fit, by adapter and shots; apart, since no two runs agree."""
    found: dict[tuple[str, int], list[float]] = {}
    for path in sorted((out / "cells").glob(f"*/{TIMES}")):
        for row in read_json(path):
            found.setdefault((row["adapter"], row["n"]), []).extend(row["seconds"])
    order = list(recipe.adapters)
    return [
        {
            "adapter": adapter,
            "n": n,
            "fits": len(several),
            "median": float(np.median(several)),
            "p95": float(np.quantile(several, 0.95)),
        }
        for (adapter, n), several in sorted(found.items(), key=lambda one: (order.index(one[0][0]), one[0][1]))
        if several
    ]


def make_table(recipe: AdaptRecipe, out: Path) -> dict[str, Any]:
    """Return the table: `rows` by cell, stream, adapter and shots, `pooled` over models and targets, `label_free`, `paired`."""
    entries: list[Entry] = []
    chosen: Rows = []
    rows: Rows = []
    for ground in grounds(recipe, out):
        preprocessing, adapter, right = ground.label_free()
        chosen.append(
            {
                **_key_of(ground),
                "preprocessing": preprocessing,
                "adapter": adapter,
                **shown(ground.resampling.accuracy(right)),
            }
        )
        found = list(ground.entries(recipe))
        rows += [row_of(one, ground) for one in found]
        entries += found
    return {
        "recipe": recipe.name,
        "phantom": recipe.phantom,
        "draws": recipe.draws,
        "shots": list(recipe.shots),
        "harm": recipe.harm,
        "rows": rows,
        "pooled": pooled(entries, rows),
        "label_free": chosen,
        "paired": [
            {**told, **shown(difference), "harmed": harm_of(harmed, draws)}
            for told, difference, harmed, draws in paired(recipe, grounds(recipe, out))
        ],
        "overtaken": overtakings(recipe, rows),
    }


def grounds(recipe: AdaptRecipe, out: Path) -> Iterator[Ground]:
    """Yield every model at every target in every stream that has cells."""
    groups: dict[tuple[Fit, str], list[Cell]] = {}
    for cell in cells_of(recipe):
        if (out / "cells" / cell.name / RESULT).is_file():
            groups.setdefault((cell.fit, cell.target), []).append(cell)
    for (fit, target), cells in groups.items():
        cases = read_json(out / "halves" / f"{target}--{fit.seed}.json")
        resampling = Resampling(
            np.array(cases["y"], np.intp), [str(one) for one in cases["patients"]], fit.seed, recipe.replicates
        )
        folders = {cell.preprocessing: out / "cells" / cell.name for cell in cells}
        right = {name: read_right(folder, len(cases["y"])) for name, folder in folders.items()}
        records = {name: read_json(folder / RESULT) for name, folder in folders.items()}
        for stream in recipe.streams:
            yield Ground(resampling, right, records, stream, fit, target)


def no_change(record: Mapping[str, Any], stream: str) -> dict[str, Any]:
    """Return the row of a cell's site as it is."""
    return {
        "stream": stream,
        "adapter": NO_CHANGE,
        "n": 0,
        "draws": 1,
        "unchanged": 1.0,
        "edits": dict.fromkeys(("masked", "gained", "shifted", "mapped"), 0.0),
        "kinds": dict.fromkeys(("preprocessing", "scorer", "head"), 0.0),
        "planted": {},
        "source_ungated": record["source_accuracy"],
        "source_ungated_least": record["source_accuracy"],
        "concept_auroc": record["concept_auroc"][stream],
        "guards": {},
        "refused": {},
    }


def row_of(entry: Entry, ground: Ground) -> dict[str, Any]:
    """Return the figures of an adapter with n shots in one cell."""
    worst = ground.resampling.recalls(entry.right).min(1)
    source_accuracy = ground.records[entry.cell.preprocessing]["source_accuracy"]
    return {
        **entry.cell.key,
        **entry.row,
        **shown(entry.after),
        "worst_class": float(worst.mean()),
        "gain": {name: shown(one) for name, one in entry.gains.items()},
        "harmed": {name: harm_of(*one) for name, one in entry.harmed.items()},
        "planted": {one: planted_of(hits, entry.row["draws"]) for one, hits in entry.row["planted"].items()},
        "source_lost": source_accuracy - entry.row["source_ungated"],
    }


def pooled(entries: list[Entry], rows: Rows) -> Rows:
    """Return means over models and targets, by stream, preprocessing, adapter and shots.

    Only cells that have the adapter at that n take part; `cells` says how many. Draws of all cells are counted together.
    """
    groups: dict[tuple[str, str, str, int], list[tuple[Entry, dict[str, Any]]]] = {}
    for one, row in zip(entries, rows, strict=True):
        key = (one.row["stream"], one.cell.preprocessing, one.name, one.row["n"])
        groups.setdefault(key, []).append((one, row))
    found = []
    for (stream, preprocessing, adapter, n), pairs in groups.items():
        several = [one for one, _ in pairs]
        counts = {name: np.sum([one.harmed[name] for one in several], axis=0).tolist() for name in GAINS}
        found.append(
            {
                "stream": stream,
                "preprocessing": preprocessing,
                "adapter": adapter,
                "n": n,
                "cells": len(several),
                **shown(mean_of([one.after for one in several])),
                "gain": {name: shown(mean_of([one.gains[name] for one in several])) for name in GAINS},
                "harmed": {name: harm_of(*one) for name, one in counts.items()},
                "unchanged": _mean(row["unchanged"] for _, row in pairs),
                "worst_class": _mean(row["worst_class"] for _, row in pairs),
                "source_lost": _mean(row["source_lost"] for _, row in pairs),
            }
        )
    return found


def overtakings(recipe: AdaptRecipe, rows: Rows) -> Rows:
    """Return from how many shots the rival is ahead of each other adapter, under the same preprocessing.

    A row without a target is about the means over all models and targets that have the rival at that n.
    """
    if not recipe.rival:
        return []
    found: dict[tuple[Any, ...], dict[str, dict[int, float]]] = {}
    for row in rows:
        found.setdefault(tuple(row[one] for one in GROUND), {}).setdefault(row["adapter"], {})[row["n"]] = row["value"]
    cells = {
        key: {name: _at_each(ours, one.get(recipe.rival, {})) for name, ours in one.items()}
        for key, one in found.items()
    }
    groups: dict[tuple[Any, ...], list[dict[str, dict[int, float]]]] = {}
    for key, one in cells.items():
        groups.setdefault(key[-2:], []).append(one)
    pooled = {(None,) * (len(GROUND) - 2) + key: _averaged(several) for key, several in groups.items()}
    return [
        {**dict(zip(GROUND, key, strict=True)), "adapter": name, "n": overtaken_from(ours, one[recipe.rival])}
        for key, one in (pooled | cells).items()
        for name, ours in one.items()
        if name != recipe.rival and recipe.rival in one
    ]


def _at_each(ours: dict[int, float], rival: Mapping[int, float]) -> dict[int, float]:
    """Return the figures at each n of the rival; an adapter that needs no shots has the same at all."""
    return dict.fromkeys(rival, ours[0]) if set(ours) == {0} else ours


def _averaged(several: list[dict[str, dict[int, float]]]) -> dict[str, dict[int, float]]:
    """Return means by adapter and n over those cells that have it."""
    names = dict.fromkeys(name for one in several for name in one)
    found: dict[str, dict[int, float]] = {}
    for name in names:
        shots = sorted({n for one in several for n in one.get(name, {})})
        found[name] = {n: _mean(one[name][n] for one in several if n in one.get(name, {})) for n in shots}
    return found


def shown(one: Estimate) -> dict[str, float]:
    """Return a figure with its interval, as JSON."""
    low, high = one.ci
    return {"value": one.value, "ci_low": low, "ci_high": high}


def harm_of(harmed: int, draws: int) -> dict[str, float]:
    """Return the share of harmful draws with its upper bound."""
    return {"share": harmed / draws, "upper": upper_bound(harmed, draws), "draws": draws}


def planted_of(hits: int, draws: int) -> dict[str, float]:
    """Return the share of draws in which a planted concept is among the masked, with its lower bound."""
    return {"share": hits / draws, "lower": lower_bound(hits, draws), "draws": draws}


def _key(row: Mapping[str, Any]) -> str:
    name = BEFORE if row["adapter"] == NO_CHANGE else f"{row['adapter']}/{row['n']}"
    return f"{row['stream']}/{name}"


def _key_of(ground: Ground) -> dict[str, Any]:
    cell = Cell(ground.fit, ground.target, NONE).key
    cell.pop("preprocessing")
    return {**cell, "stream": ground.stream}


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
