"""What calibration at a site is worth: do its prediction sets hold what they promise, and does its temperature fit?

    osler adapt bench RECIPE --out DIR
    python training/benchmarks/site_calibration.py RECIPE DIR [--draws 200] [--asked 0.8 0.9]

Of the test half of every target of a finished bench, one study a patient, half calibrates and half is judged, over and over.
Coverage is the share of judged studies whose class is in their set, averaged over draws and seeds; beside it stands its
expectation for n calibration studies, `(n + 1 - l) / (n + 1)` with `l = floor((n + 1) (1 - asked))` (Vovk 2012), and the
coverage of sets that were calibrated at the source. Cross-entropy of the judged studies is told with the source's temperature
and with the site's; of K classes alike, who knows nothing has log(K). RECIPE is a file or the name of one that comes with Osler.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from osler.adapt.site_values import Labels
from osler.bottleneck.artefact import load_bottleneck
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Features
from osler.calibrate.conformal import ConformalSets, fit_sets, reached_coverage
from osler.calibrate.temperature import fit_temperature
from osler_training.adaptation.bench import Bench, open_bench
from osler_training.adaptation.features import Store, read_fit, read_site
from osler_training.adaptation.plan import Cell, cells_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.lines import read_recipe
from osler_training.shift.sites import Site

DRAWS, ASKED = 200, (0.8, 0.9)
ENTROPY = ("cross-entropy, source's temperature", "cross-entropy, site's")


def one_a_patient(site: Site, rows: Labels) -> Labels:
    """Return the places among rows of the first study of each patient."""
    return np.sort(np.unique(np.asarray(site.images.patients)[rows], return_index=True)[1])


def logits_of(pipeline: Pipeline, features: Features) -> Array:
    """Return class logits (n, K) at the model's own temperature; from their probabilities sets are made."""
    return pipeline.predict_features(features).logits / pipeline.calibration.temperature


def cross_entropy(logits: Array, y: Labels) -> float:
    """Return the mean cross-entropy of logits (n, K) with classes (n,), in nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(y)), y].mean())


def held(sets: ConformalSets, classes: tuple[str, ...], p: Array) -> BoolArray:
    """Return which classes are in each study's set (n, K)."""
    return np.asarray(1.0 - p <= np.array([sets.thresholds[one] for one in classes]))


def cell_rows(bench: Bench, out: Path, cell: Cell, asked: tuple[float, ...], draws: int) -> Iterator[dict[str, Any]]:
    """Yield coverage of one model at one site, by what was asked for."""
    fit, store, lab = cell.fit, Store(out), bench.lab
    rows = bench.halves[cell.target, fit.seed].test
    kept = one_a_patient(lab.sites[cell.target], rows)
    pipeline = load_bottleneck(out / "models" / fit.name)
    path = store.site(fit.encoder, fit.source, fit.seed, cell.target, cell.preprocessing, bench.recipe.streams[0])
    logits, y = logits_of(pipeline, read_site(path).test.rows(kept)), lab.sites[cell.target].y[rows][kept]
    p = softmax(logits, axis=1)
    parts = lab.parts[fit.source, fit.seed]
    home, tested = lab.sites[fit.source], parts.tests[fit.source][1]
    own = one_a_patient(home, tested)
    at_home = read_fit(store, parts, fit.encoder, fit.seed)["source"].at(tested).rows(own)
    of_home = softmax(logits_of(pipeline, at_home), axis=1)
    classes, n = pipeline.classes, len(y) // 2
    rng = np.random.default_rng(fit.seed)
    splits = [np.split(rng.permutation(len(y)), [n]) for _ in range(draws)]
    told = [
        (
            cross_entropy(logits[judged], y[judged]),
            cross_entropy(logits[judged] / fit_temperature(logits[calibrating], y[calibrating]), y[judged]),
        )
        for calibrating, judged in splits
    ]
    entropy = dict(zip(ENTROPY, np.mean(told, axis=0), strict=True))
    for share in asked:
        brought = fit_sets(of_home, home.y[tested][own], classes, coverage=share, method="lac")
        found = []
        for calibrating, judged in splits:
            made = fit_sets(p[calibrating], y[calibrating], classes, coverage=share, method="lac")
            inside = held(made, classes, p[judged])
            found.append((inside[np.arange(len(judged)), y[judged]].mean(), inside.sum(axis=1).mean()))
        covered, many = np.mean(found, axis=0)
        yield {
            "model": f"{fit.method} ({fit.encoder})",
            "from": fit.source,
            "to": cell.target,
            "preprocessing": cell.preprocessing,
            "n": n,
            "asked": share,
            "source's sets": held(brought, classes, p)[np.arange(len(y)), y].mean(),
            "site's sets": covered,
            "expected": reached_coverage(n, share).mean,
            "classes a set": many,
            **entropy,
        }


def averaged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows averaged over seeds."""
    grounds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("model", "from", "to", "preprocessing", "asked"))
        grounds.setdefault(key, []).append(row)
    figures = ("n", "source's sets", "site's sets", "expected", "classes a set", *ENTROPY)
    return [
        {**own[0], **{name: float(np.mean([one[name] for one in own])) for name in figures}} for own in grounds.values()
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table, shares in per cent."""
    shown = {"n": "{:.0f}", "asked": "{:.0%}", **dict.fromkeys(("classes a set", *ENTROPY), "{:.2f}")}
    lines = ["| " + " | ".join(rows[0]) + " |", "| " + " | ".join("---" for _ in rows[0]) + " |"]
    for row in rows:
        cells = (one if isinstance(one, str) else shown.get(name, "{:.1%}").format(one) for name, one in row.items())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write the rows where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("bench", type=Path)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--asked", type=float, nargs="+", default=ASKED)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    bench, _ = open_bench(read_recipe(given.recipe, AdaptRecipe))
    rows: list[dict[str, Any]] = []
    for cell in cells_of(bench.recipe):
        if (cell.target, cell.fit.seed) in bench.halves:
            rows += cell_rows(bench, given.bench, cell, tuple(given.asked), given.draws)
    table = averaged(rows)
    print(markdown(table))
    if given.json:
        given.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
