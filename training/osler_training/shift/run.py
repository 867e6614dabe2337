"""Running a recipe: features once, cells in parallel, a table at the end; a killed run goes on where it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from osler.bottleneck.protocols import Encoder
from osler.engine import Engine, EngineChoice
from osler_training.experiments.resumable import claim, open_pool, read_json, write_json
from osler_training.shift.ahead import encode_ahead
from osler_training.shift.cell import REFUSED, RESULT, run_cell
from osler_training.shift.features import closed, encode_all, read_batches, unsuited
from osler_training.shift.lab import Lab, open_lab
from osler_training.shift.lines import RecipeFile
from osler_training.shift.plan import Cell, cells_of
from osler_training.shift.problems import Setting
from osler_training.shift.table import write_table

CELLS, LAB, SPLITS, FEATURES = "cells", "lab.json", "splits", "features"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """What became of a run, or of a bench.

    Attributes:
        out: Its folder.
        done: Cells with a result.
        refused: Reason by cell, of those whose method does not fit.
        failed: Errors that nobody foresaw, by cell; such cells are tried again when it is resumed.
        seconds: How long it took.
    """

    out: Path
    done: int
    refused: Mapping[str, str]
    failed: Mapping[str, str]
    seconds: float


@dataclass
class Clock:
    """Tells how much is left, from the pace so far."""

    total: int
    start: float = field(default_factory=time.monotonic)
    done: int = 0

    def line(self, cells: int, what: str) -> str:
        """Count finished cells and return a line of progress."""
        self.done += cells
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * (self.total - self.done) if self.done else float("nan")
        return f"{self.done} of {self.total} cells, about {left / 60:.1f} min left: {what}"


def run_recipe(
    file: RecipeFile,
    out: Path,
    *,
    cache: Path,
    workers: int = 2,
    resume: bool = False,
    progress: Progress = lambda line: None,
    engine: EngineChoice | None = None,
) -> Ran:
    """Run every cell that is not there yet, and write the table.

    Args:
        file: The recipe.
        out: Folder of the results.
        cache: Folder of the feature cache, which experiments may share.
        workers: Processes, of one thread each.
        resume: Go on with what `out` holds of the same recipe and data.
        progress: Receives lines.
        engine: Where the work is done, in place of `workers` of this machine; nodes of a cluster see the folders and the
            data under the same paths.

    Raises:
        OslerError: Whatever is wrong with recipe or data, before anything is fitted; `workspace-occupied`; as
            `EngineChoice.open`.
    """
    start = time.monotonic()
    progress("looking at recipe, data, splits and encoders")
    lab, encoders = open_lab(file)
    claim(out, lab.digest, lab.recipe.model_dump(mode="json"), resume=resume)
    write_json(out / LAB, lab.describe())
    for (source, seed), parts in lab.parts.items():
        write_json(out / SPLITS / f"{source}--{seed}.json", parts.to_dict(lab.sites))
    with open_pool(engine or EngineChoice(workers=workers), [out, cache]) as pool:
        for line in encode_ahead(lab, pool, out / FEATURES, cache):
            progress(line)
        _encode(file, lab, encoders, out, cache, progress)
        failed = _run_cells(lab, out, pool, progress)
        progress("writing the table")
        list(pool.map(write_table, [out]))
    refused = refusals(out)
    done = sum(1 for cell in cells_of(lab.recipe) if (out / CELLS / cell.name / RESULT).is_file())
    return Ran(out, done, refused, failed, time.monotonic() - start)


def refusals(out: Path) -> dict[str, str]:
    """Return the cells whose method refused, with its reason."""
    found = sorted((out / CELLS).glob(f"*/{REFUSED}"))
    return {path.parent.name: read_json(path)["message"] for path in found}


def _encode(
    file: RecipeFile, lab: Lab, encoders: Mapping[str, Encoder], out: Path, cache: Path, progress: Progress
) -> None:
    for (source, seed), parts in lab.parts.items():
        place = out / FEATURES / f"{source}--{seed}"
        for line in encode_all(file, lab.sites, parts, encoders, place, cache):
            progress(line)


Group = tuple[str, int, str, str]


def _run_cells(lab: Lab, out: Path, pool: Engine, progress: Progress) -> dict[str, str]:
    cells = cells_of(lab.recipe)
    waiting = [cell for cell in cells if not _is_done(out, cell)]
    groups: dict[Group, list[Cell]] = {}
    for cell in waiting:
        groups.setdefault((cell.source, cell.seed, cell.encoder, cell.preprocessing), []).append(cell)
    if len(waiting) < len(cells):
        progress(f"{len(cells) - len(waiting)} of {len(cells)} cells were there")
    clock, failed = Clock(len(waiting)), dict[str, str]()
    for group, count, wrong in pool.map(partial(_run_group, lab, out), list(groups.values()), ordered=False):
        failed |= wrong
        progress(clock.line(count, group))
    return failed


def _is_done(out: Path, cell: Cell) -> bool:
    folder = out / CELLS / cell.name
    return (folder / RESULT).is_file() or (folder / REFUSED).is_file()


def _run_group(lab: Lab, out: Path, cells: list[Cell]) -> tuple[str, int, dict[str, str]]:
    """Run the cells that share a setting; what nobody foresaw in one of them spares the others."""
    first = cells[0]
    parts = lab.parts[first.source, first.seed]
    told = f"{first.source}, seed {first.seed}, {first.encoder}, {first.preprocessing}"
    place = out / FEATURES / f"{first.source}--{first.seed}"
    if (reason := unsuited(place, first.encoder, first.preprocessing)) is not None:
        for cell in cells:
            write_json(out / CELLS / cell.name / REFUSED, {"cell": asdict(cell), **reason})
        return told, len(cells), {}
    encoded, fitted = read_batches(place, first.encoder, first.preprocessing)
    encoder = closed(lab.recipe, first.encoder, lab.encoders[first.encoder])
    setting = Setting(lab.recipe, lab.sites, parts, encoded, lab.bank, encoder)
    head = {
        "recipe": lab.recipe.name,
        "split_digest": parts.digest,
        "bank": lab.bank.name,
        "bank_version": lab.bank.version,
        "bank_digest": lab.bank.digest,
        "encoder_digest": encoder.digest,
        "corrections": [one.digest for one in fitted],
    }
    failed = {}
    for cell in cells:
        try:
            run_cell(cell, setting, fitted, out / CELLS / cell.name, head)
        except Exception as error:  # noqa: BLE001 - told at the end, and tried again when the run is resumed
            failed[cell.name] = f"{type(error).__name__}: {error}"[:300]
    return told, len(cells), failed


def counts(ran: Ran) -> dict[str, Any]:
    """Return what became of the cells, as JSON."""
    why = Counter(ran.refused.values())
    return {"done": ran.done, "refused": dict(ran.refused), "reasons": dict(why), "failed": dict(ran.failed)}
