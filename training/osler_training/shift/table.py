"""The table of an experiment: figures with intervals, and paired differences to the best baseline chosen on the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from osler_training.evaluate.bootstrap import Estimate, average, gap
from osler_training.evaluate.comparisons import over_seeds
from osler_training.evaluate.records import Records
from osler_training.experiments.resumable import read_json, write_json
from osler_training.shift.cell import RESULT
from osler_training.shift.plan import Cell, cells_of
from osler_training.shift.recipe import ShiftRecipe
from osler_training.shift.scores import metric_estimate, shown

TABLE = "table.json"
Rows = list[dict[str, Any]]
Drawn = dict[Cell, dict[str, tuple[Estimate, int]]]


def write_table(out: Path) -> dict[str, Any]:
    """Write `table.json` from the finished cells and return it.

    Call it where numbers are summed by one thread, as in `in_parallel`: the same cells then give the same bytes.
    """
    recipe = ShiftRecipe.model_validate(read_json(out / "recipe.json")["recipe"])
    table = make_table(recipe, out / "cells")
    write_json(out / TABLE, table)
    return table


def make_table(recipe: ShiftRecipe, folder: Path) -> dict[str, Any]:
    """Return the table: `figures` of every cell and test, `goal` with pairing, `seeds` over seeds, `baselines`."""
    results = {cell: read_json(folder / cell.name / RESULT) for cell in cells_of(recipe) if _there(folder, cell)}
    drawn: Drawn = {
        cell: {test: _goal(recipe, folder / cell.name / test, cell.seed) for test in result["scores"]}
        for cell, result in results.items()
    }
    chosen = {cell: baselines(recipe, results, cell) for cell in results}
    goal = [row for cell in results for row in goal_rows(cell, drawn, chosen[cell])]
    return {
        "recipe": recipe.name,
        "metric": recipe.goal_metric,
        "splits": {f"{cell.source}--{cell.seed}": result["head"]["split_digest"] for cell, result in results.items()},
        "bank": {key: result["head"][f"bank_{key}"] for result in results.values() for key in ("version", "digest")},
        "baselines": {cell.name: {kind: one.name for kind, one in named.items()} for cell, named in chosen.items()},
        "goal": goal,
        "shift": [row for cell in results for row in shift_rows(cell, drawn[cell])],
        "seeds": seed_rows(recipe, drawn, chosen),
        "figures": [
            {**key(cell), "test": test, "metric": metric, **figure}
            for cell, result in results.items()
            for test, scores in result["scores"].items()
            for metric, figure in scores.items()
        ],
        "select": [{**key(cell), **result["select"]} for cell, result in results.items()],
    }


def key(cell: Cell) -> dict[str, Any]:
    """Return the columns that name a cell."""
    return {
        "source": cell.source,
        "seed": cell.seed,
        "encoder": cell.encoder,
        "preprocessing": cell.preprocessing,
        "method": cell.method,
    }


def baselines(recipe: ShiftRecipe, results: Mapping[Cell, Any], cell: Cell) -> dict[str, Cell]:
    """Return the baselines of a cell, chosen on the source's select part alone.

    `same` has the cell's preprocessing, `any` may have another; among both the best encoder is taken: the best figure, then
    the lowest cross-entropy, then the order of the recipe.
    """
    rivals = [
        one for one in results if (one.source, one.seed) == (cell.source, cell.seed) and one.method in recipe.baseline
    ]

    def merit(one: Cell) -> tuple[float, float]:
        select = results[one]["select"]
        return select[recipe.goal_metric], -select["cross_entropy"]

    named = {"same": [one for one in rivals if one.preprocessing == cell.preprocessing], "any": rivals}
    return {kind: max(those, key=merit) for kind, those in named.items() if those}


def goal_rows(cell: Cell, drawn: Drawn, chosen: Mapping[str, Cell]) -> Rows:
    """Return a row a test: the goal metric, and its paired differences to the baselines."""
    rows = []
    for test, (one, n) in drawn[cell].items():
        row = {**key(cell), "test": test, **shown(one, n)}
        for kind, baseline in chosen.items():
            row[f"minus_{kind}"] = shown(one.minus(drawn[baseline][test][0]), n)
        rows.append(row)
    return rows


def shift_rows(cell: Cell, drawn: Mapping[str, tuple[Estimate, int]]) -> Rows:
    """Return ID, OOD, gap and average of each test but the first, and of the mean over them (M1, M19.5)."""
    (_, (inside, n)), *others = drawn.items()
    rows = []
    for test, (outside, m) in others:
        four = {"id": inside, "ood": outside, "gap": gap(inside, outside), "avg": average(inside, outside)}
        rows.append({**key(cell), "test": test, **{name: shown(one, n + m) for name, one in four.items()}})
    return rows


def seed_rows(recipe: ShiftRecipe, drawn: Drawn, chosen: Mapping[Cell, Mapping[str, Cell]]) -> Rows:
    """Return means over seeds, where there are several; patients are paired only where all seeds test the same ones."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = {}
    for cell in drawn:
        groups.setdefault((cell.source, cell.encoder, cell.preprocessing, cell.method), []).append(cell)
    rows = []
    for cells in groups.values():
        if len(cells) < 2:
            continue
        for test in drawn[cells[0]]:
            row = {
                **key(cells[0]),
                "test": test,
                "seeds": len(cells),
                **_over(recipe, [drawn[one][test] for one in cells]),
            }
            for kind in ("same", "any"):
                pairs = [(one, chosen[one][kind]) for one in cells if kind in chosen[one]]
                minus = [(drawn[a][test][0].minus(drawn[b][test][0]), drawn[a][test][1]) for a, b in pairs]
                if len(minus) == len(cells):
                    row[f"minus_{kind}"] = _over(recipe, minus)
            row.pop("seed")
            rows.append(row)
    return rows


def _over(recipe: ShiftRecipe, several: Sequence[tuple[Estimate, int]]) -> dict[str, Any]:
    found = over_seeds([one for one, _ in several], seed=recipe.seed)
    return {**shown(found.mean, several[0][1]), "deviation": found.deviation}


def _goal(recipe: ShiftRecipe, folder: Path, seed: int) -> tuple[Estimate, int]:
    records = Records.load(folder)
    return metric_estimate(records, recipe.goal_metric, seed=seed, replicates=recipe.replicates), len(records)


def _there(folder: Path, cell: Cell) -> bool:
    return (folder / cell.name / RESULT).is_file()
