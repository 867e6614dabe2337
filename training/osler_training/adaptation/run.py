"""Running a bench: features once, models once, cells in parallel, a table at the end; a killed run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from osler_contracts.errors import OslerError
from osler_training.adaptation.arena import Arena, Cases
from osler_training.adaptation.aurocs import ConceptTruth
from osler_training.adaptation.bench import Bench, open_bench
from osler_training.adaptation.cell import RESULT, Bout, is_done, run_cell
from osler_training.adaptation.features import Store, encode_source, encode_targets, read_fit, read_site
from osler_training.adaptation.model import fit_model, open_model, remember
from osler_training.adaptation.plan import Cell, Fit, cells_of, fits_of
from osler_training.adaptation.recipe import Stream
from osler_training.adaptation.table import write_table
from osler_training.experiments.resumable import claim, in_parallel, read_json, write_json
from osler_training.shift.lines import RecipeFile
from osler_training.shift.recipe import NONE
from osler_training.shift.run import Clock, Progress, Ran

CELLS, LAB, HALVES, REFUSED = "cells", "lab.json", "halves", "refused.json"


def run_bench(
    file: RecipeFile,
    out: Path,
    *,
    cache: Path,
    workers: int = 2,
    resume: bool = False,
    progress: Progress = lambda line: None,
) -> Ran:
    """Run every cell of a bench that is not there yet, and write the table; see `run_recipe` for arguments and errors.

    Targets that cannot be benched are among the refused.
    """
    start = monotonic()
    progress("looking at recipe, data, splits and encoders")
    bench, encoders = open_bench(file)
    claim(out, bench.digest, bench.recipe.model_dump(mode="json"), resume=resume)
    write_json(out / LAB, bench.describe())
    for site, seed in bench.halves:
        write_json(out / HALVES / f"{site}--{seed}.json", bench.cases(site, seed))
    store = Store(out)
    for line in encode_source(bench.lab, encoders, store, cache):
        progress(line)
    for line in encode_targets(bench.lab, bench.halves, encoders, store, cache):
        progress(line)
    refused, failed = _fit_models(bench, out, workers, progress)
    failed |= _run_cells(bench, out, workers, set(refused) | set(failed), progress)
    progress("writing the table")
    list(in_parallel(write_table, [out], 1))
    refused |= {f"target {name}": why for name, why in bench.refused.items()}
    refused |= {path.parent.name: read_json(path)["message"] for path in sorted((out / CELLS).glob(f"*/{REFUSED}"))}
    done = sum(1 for cell in cells_of(bench.recipe) if (out / CELLS / cell.name / RESULT).is_file())
    return Ran(out, done, refused, failed, monotonic() - start)


def _fit_models(bench: Bench, out: Path, workers: int, progress: Progress) -> tuple[dict[str, str], dict[str, str]]:
    """Fit the models; returns why some were refused, and what failed."""
    refused, failed = dict[str, str](), dict[str, str]()
    for name, kind, why in in_parallel(partial(_fit_one, bench, out), fits_of(bench.recipe), workers):
        progress(f"model {name}" + (f": {why}" if why else ""))
        if kind:
            (refused if kind == "refused" else failed)[f"model {name}"] = why
    return refused, failed


def _fit_one(bench: Bench, out: Path, fit: Fit) -> tuple[str, str, str]:
    try:
        fit_model(bench.lab, Store(out), fit)
    except OslerError as error:
        return fit.name, "refused", f"{error.message} {error.mend}"
    except Exception as error:  # noqa: BLE001 - told at the end, and tried again when the bench is resumed
        return fit.name, "failed", f"{type(error).__name__}: {error}"[:300]
    return fit.name, "", ""


def _run_cells(bench: Bench, out: Path, workers: int, without: set[str], progress: Progress) -> dict[str, str]:
    cells = [
        cell
        for cell in cells_of(bench.recipe)
        if f"model {cell.fit.name}" not in without and (cell.target, cell.fit.seed) in bench.halves
    ]
    waiting = [cell for cell in cells if not _is_finished(out / CELLS / cell.name)]
    if len(waiting) < len(cells):
        progress(f"{len(cells) - len(waiting)} of {len(cells)} cells were there")
    clock, failed = Clock(len(waiting)), dict[str, str]()
    run: Callable[[Cell], tuple[str, dict[str, str]]] = partial(_run_one, bench, out)
    for name, wrong in in_parallel(run, waiting, workers):
        failed |= wrong
        progress(clock.line(1, name))
    return failed


def _is_finished(folder: Path) -> bool:
    return (folder / REFUSED).is_file() or is_done(folder)


def _run_one(bench: Bench, out: Path, cell: Cell) -> tuple[str, dict[str, str]]:
    folder = out / CELLS / cell.name
    try:
        found = run_cell(bench.recipe, *_opened(bench, out, cell), folder)
    except OslerError as error:  # a correction that does not suit an encoder
        write_json(folder / REFUSED, {"cell": cell.key, **error.to_dict()})
        return cell.name, {}
    except Exception as error:  # noqa: BLE001 - told at the end, and tried again when the bench is resumed
        return cell.name, {cell.name: f"{type(error).__name__}: {error}"[:300]}
    return cell.name, {f"{cell.name}, {key}": f"{count} draws" for key, count in found["failed"].items()}


def _opened(bench: Bench, out: Path, cell: Cell) -> tuple[dict[str, Any], list[Bout]]:
    """Return what a cell's record says of the model, and a bout for each stream."""
    recipe, fit = bench.recipe, cell.fit
    store, parts = Store(out), bench.lab.parts[fit.source, fit.seed]
    home = bench.lab.sites[fit.source]
    tested = parts.tests[fit.source][1]
    source = Cases(read_fit(store, parts, fit.encoder, fit.seed)["source"].at(tested), home.y[tested])
    bouts = [_bout(bench, out, cell, source, stream) for stream in recipe.streams]
    pipeline = bouts[0].arena.pipeline
    head = {
        "cell": cell.key,
        "model": pipeline.digest,
        "bank": pipeline.bank.digest,
        "encoder": pipeline.encoder_digest,
        "halves": bench.halves[cell.target, fit.seed].digest,
        "split": parts.digest,
        "concepts": len(pipeline.bank.ids),
        "source_test": len(tested),
    }
    return head, bouts


def _bout(bench: Bench, out: Path, cell: Cell, source: Cases, stream: Stream) -> Bout:
    fit, halves = cell.fit, bench.halves[cell.target, cell.fit.seed]
    site, store = bench.lab.sites[cell.target], Store(out)
    places = [
        store.site(fit.encoder, fit.source, fit.seed, cell.target, one, stream) for one in (cell.preprocessing, NONE)
    ]
    features, plain = (read_site(path) for path in places)
    y = site.y[halves.test]
    order = halves.streams[stream]
    pooled = features.pool.pooled
    order = np.array(sorted(order, key=lambda place: pooled[place].tobytes()), np.intp)  # as adapters order it
    unlabelled = features.pool.rows(order)
    pipeline = open_model(out / "models" / fit.name)
    none = pipeline.predict_features(plain.test).logits.argmax(1) == y
    for one in (unlabelled, features.test, source.features):
        remember(pipeline, one)
    truth = ConceptTruth.of(site.concepts(pipeline.bank.ids)[halves.test])
    uids = tuple(site.images.keys[row] for row in halves.pool)
    return Bout(
        stream,
        Arena(pipeline, cell.target, Cases(features.test, y), source, truth),
        features.pool,
        site.y[halves.pool],
        uids,
        unlabelled,
        tuple(uids[place] for place in order),
        halves.supports,
        none,
    )


def counts(ran: Ran) -> dict[str, Any]:
    """Return what became of the cells, as JSON."""
    return {"done": ran.done, "refused": dict(ran.refused), "failed": dict(ran.failed)}
