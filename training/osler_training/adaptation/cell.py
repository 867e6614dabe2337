"""One cell: a model at a target under one preprocessing, every adapter fitted on every draw, and what each patch did."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from osler.adapt.adapter import Adapter, fit_patch
from osler.adapt.patch import SitePatch
from osler.bottleneck.records import BoolArray, Features, Support
from osler.files import write_atomically
from osler_contracts.errors import OslerError
from osler_training.adaptation.arena import Arena, Judged, counts_of
from osler_training.adaptation.recipe import AdaptRecipe, Stream, made
from osler_training.evaluate.metrics import Labels
from osler_training.experiments.resumable import read_json, write_json

RESULT, RIGHT, TIMES, PATCHES = "cell.json", "right.safetensors", "times.json", "patches"
# Patches of a bench are measured and thrown away; their date is a fixed one, so that cells are the same on every day.
CREATED = "2025-01-01"
BEFORE, NONE_BEFORE = "before", "none"


@dataclass(frozen=True, eq=False)
class Bout:
    """What adapters meet at a site in one stream.

    Attributes:
        stream: The mix of the unlabelled pool.
        arena: Where patches are tried.
        pool: Features of the pool that supports are drawn from.
        y: Their classes (n,).
        uids: Their study UIDs (n,).
        unlabelled: Features of the stream.
        unlabelled_uids: Their study UIDs.
        supports: Places in the pool of each draw, by number of shots.
        none: Right predictions of the test half without preprocessing and without a patch (n,).
    """

    stream: Stream
    arena: Arena
    pool: Features
    y: Labels
    uids: tuple[str, ...]
    unlabelled: Features
    unlabelled_uids: tuple[str, ...]
    supports: Mapping[int, np.ndarray]
    none: BoolArray

    def support(self, places: np.ndarray) -> Support:
        """Return a labelled support."""
        uids = tuple(self.uids[place] for place in places)
        return Support(
            self.pool.rows(places), self.y[places], self.arena.site, study_uids=uids, unlabelled=self.unlabelled
        )

    @property
    def whole(self) -> Support:
        """The stream as a support for adapters that need no labels."""
        return Support(
            self.unlabelled, None, self.arena.site, study_uids=self.unlabelled_uids, unlabelled=self.unlabelled
        )


@dataclass
class Tally:
    """What one adapter did with n shots, over the draws.

    Attributes:
        right: Right predictions of the test half, a draw a row.
        counts: Figures of each draw.
        refused: Draws that were refused, by code; they count as no change.
        why: Message of the first of each code.
        failed: Draws that ended in an error that nobody foresaw, by its kind.
        seconds: Of each fit.
        first: The first patch.
    """

    right: list[BoolArray] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    first: SitePatch | None = None


def run_cell(recipe: AdaptRecipe, head: Mapping[str, Any], bouts: list[Bout], folder: Path) -> dict[str, Any]:
    """Fit and try every adapter, and write the cell's folder, whole or not at all; returns its record."""
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / PATCHES).mkdir(parents=True)
    tensors: dict[str, np.ndarray] = {}
    rows, times, failed = [], [], dict[str, int]()
    for bout in bouts:
        tensors[f"{bout.stream}/{BEFORE}"] = bout.arena.before.right[None]
        tensors[f"{bout.stream}/{NONE_BEFORE}"] = bout.none[None]
        for name, n, tally in tallies(recipe, bout):
            key = f"{bout.stream}/{name}/{n}"
            tensors[key] = np.array(tally.right)
            rows.append({"stream": bout.stream, "adapter": name, "n": n, **summed(recipe, bout.arena, tally)})
            times.append({"stream": bout.stream, "adapter": name, "n": n, "seconds": tally.seconds})
            failed |= {f"{key}: {why}": count for why, count in tally.failed.items()}
            if tally.first is not None:
                record = json.loads(tally.first.to_json())
                write_json(scratch / PATCHES / f"{key.replace('/', '--')}.json", record)
    packed = {name: np.packbits(one, axis=1) for name, one in tensors.items()}
    write_atomically(scratch / RIGHT, save(packed))
    arenas = {bout.stream: bout.arena for bout in bouts}
    result = {
        **head,
        "source_accuracy": next(iter(arenas.values())).source_accuracy,
        "concept_auroc": {stream: arena.before.concepts for stream, arena in arenas.items()},
        "failed": failed,
        "rows": rows,
    }
    write_json(scratch / RESULT, result)
    write_json(scratch / TIMES, times)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.replace(folder)
    return result


def tallies(recipe: AdaptRecipe, bout: Bout) -> Iterator[tuple[str, int, Tally]]:
    """Yield every adapter with its shots and what it did.

    One that needs no labels needs no shots: it is fitted once, on the stream as a whole, and stands under n = 0.
    """
    planted = recipe.planted.get(bout.arena.site, ())
    for name, entry in recipe.adapters.items():
        adapter: Adapter = made(name, entry)
        draws = bout.supports if adapter.needs_labels else {0: np.zeros((1, 0), np.intp)}
        for n, places in draws.items():
            tally = Tally()
            for draw, rows in enumerate(places):
                support = bout.support(rows) if adapter.needs_labels else bout.whole
                support = mislabelled(support, recipe.wrong_labels, len(recipe.classes), seed=(recipe.seed, n, draw))
                one_draw(tally, adapter, bout.arena, support, planted)
            yield name, n, tally


def mislabelled(support: Support, wrong: int, classes: int, *, seed: tuple[int, ...]) -> Support:
    """Return a support in which the labels of some studies, drawn by the seed, are those of other classes."""
    if support.y is None or not wrong:
        return support
    rng, y = np.random.default_rng(seed), support.y.copy()
    chosen = rng.choice(len(y), wrong, replace=False)
    y[chosen] = (y[chosen] + rng.integers(1, classes, wrong)) % classes
    return replace(support, y=y)


def one_draw(tally: Tally, adapter: Adapter, arena: Arena, support: Support, planted: tuple[str, ...]) -> None:
    """Fit and judge one draw; an adapter that refuses leaves the site as it is."""
    start = time.perf_counter()
    patch, judged = None, arena.before
    try:
        patch = fit_patch(adapter, arena.pipeline, support, created=CREATED)
        tally.seconds.append(time.perf_counter() - start)
        if not patch.changes_nothing:
            judged = arena.judge(patch)
        if tally.first is None:
            tally.first = patch
            arena.require_same(patch, judged)
    except OslerError as error:
        patch, judged = None, arena.before
        tally.refused[str(error.code)] += 1
        tally.why.setdefault(str(error.code), error.message)
    except Exception as error:  # noqa: BLE001 - told at the end, and the cell is tried again when the bench is resumed
        patch, judged = None, arena.before
        tally.failed[f"{type(error).__name__}: {error}"[:300]] += 1
    tally.right.append(judged.right)
    tally.counts.append(described(patch, judged, planted))


def described(patch: SitePatch | None, judged: Judged, planted: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures of one draw."""
    edits = {"masked": 0, "gained": 0, "shifted": 0, "mapped": 0, "kinds": ()} if patch is None else counts_of(patch)
    masked = set(patch.masked) if patch is not None and patch.changes_scorer else set()
    return {
        **edits,
        "unchanged": not edits["kinds"],
        "failed_guards": [] if patch is None else sorted({one.name for one in patch.guards if not one.passed}),
        "planted": [one in masked for one in planted],
        "source": judged.source,
        "concepts": judged.concepts,
    }


def summed(recipe: AdaptRecipe, arena: Arena, tally: Tally) -> dict[str, Any]:
    """Return means over the draws, as JSON."""
    counts = tally.counts
    kinds = Counter(kind for one in counts for kind in one["kinds"])
    planted = recipe.planted.get(arena.site, ())
    guards = Counter(name for one in counts if one["unchanged"] for name in one["failed_guards"])
    concepts = [one["concepts"] for one in counts if one["concepts"] is not None]
    return {
        "draws": len(counts),
        "unchanged": mean(one["unchanged"] for one in counts),
        "edits": {name: mean(one[name] for one in counts) for name in ("masked", "gained", "shifted", "mapped")},
        "kinds": {kind: kinds[kind] / len(counts) for kind in ("preprocessing", "scorer", "head")},
        "planted": {one: sum(count["planted"][place] for count in counts) for place, one in enumerate(planted)},
        "source_ungated": mean(one["source"] for one in counts),
        "source_ungated_least": min(one["source"] for one in counts),
        "concept_auroc": mean(concepts) if concepts else None,
        "guards": dict(sorted(guards.items())),
        "refused": {code: {"draws": n, "message": tally.why[code]} for code, n in sorted(tally.refused.items())},
    }


def mean(values: Any) -> float:
    """Return the mean of some numbers."""
    return float(np.mean(list(values)))


def read_right(folder: Path, cases: int) -> dict[str, BoolArray]:
    """Return right predictions (S, n) of a cell by `stream/adapter/n`, `stream/before` and `stream/none`."""
    packed = load_file(folder / RIGHT)
    return {name: np.unpackbits(one, axis=1, count=cases).astype(bool) for name, one in packed.items()}


def is_done(folder: Path) -> bool:
    """Whether a cell was finished, without an error that nobody foresaw."""
    return (folder / RESULT).is_file() and not read_json(folder / RESULT).get("failed")
