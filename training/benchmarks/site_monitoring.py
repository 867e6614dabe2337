"""How often monitoring gives false alarms, what it finds of a planted shift, and what it says of real sites.

    osler adapt bench RECIPE --out DIR
    python training/benchmarks/site_monitoring.py RECIPE DIR [--draws 200]

For every model of a finished bench, the held-out studies of its source, as the model keeps them, are halved at random, over and
over; one half is the reference, the other arrives. Nothing has moved, so each alarm is false. Then one concept, drawn anew each
time, moves by its own standard deviation from the middle of the arrivals on. Last, the test half of each target, one study a
patient and in an order drawn by the seed, arrives against all held-out studies. RECIPE is a file or the name of one that comes
with Osler.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from site_calibration import markdown, one_a_patient

from osler.bottleneck.artefact import load_bottleneck
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler.monitor.compare import Concepts, compare_concepts
from osler.monitor.report import ConceptMove
from osler_contracts.drift.report import Verdict
from osler_training.adaptation.bench import Bench, open_bench
from osler_training.adaptation.features import Store, read_site
from osler_training.adaptation.plan import Cell, Fit, cells_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.lines import read_recipe

DRAWS = 200


@dataclass(frozen=True, eq=False)
class Watch:
    """A model's concepts under watch.

    Attributes:
        ids: Identifiers of the concepts that vary at the source.
        held: Their values in its held-out studies (n, C).
        kept: Their places among the model's concepts.
    """

    ids: tuple[str, ...]
    held: Array
    kept: tuple[int, ...]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Watch:
        """Take what a model remembers of its source."""
        held = pipeline.source.aligned(pipeline.bank.ids).values
        kept = tuple(np.flatnonzero(np.ptp(held, axis=0) > 0).tolist())
        return cls(tuple(pipeline.bank.ids[c] for c in kept), held[:, kept], kept)

    def alarms(self, reference: Array, arrivals: Array) -> list[ConceptMove]:
        """Return the concepts for which there is an alarm when values (m, C) arrive against a reference (n, C)."""
        moves = compare_concepts(Concepts(self.ids, self.ids, reference), Concepts(self.ids, self.ids, arrivals))
        return [one for one in moves if one.alarm is not None]


def planted(watch: Watch, seed: int, draws: int) -> tuple[int, int, list[int]]:
    """Count halvings of the source with an alarm where nothing moved, and those in which one concept moved and it alone has one.

    Returns:
        Both counts, and by how many arrivals the start was missed where it was found.
    """
    rng = np.random.default_rng(seed)
    false, alone, off = 0, 0, []
    for _ in range(draws):
        reference, arrivals = np.array_split(watch.held[rng.permutation(len(watch.held))], 2)
        false += bool(watch.alarms(reference, arrivals))
        moved, start = int(rng.integers(len(watch.ids))), len(arrivals) // 2
        later = arrivals.copy()
        later[start:, moved] += watch.held[:, moved].std()
        found = watch.alarms(reference, later)
        if [one.id for one in found] == [watch.ids[moved]]:
            alone += 1
            since = found[0].since
            off += [] if since is None else [abs(since.onset.at - start)]
    return false, alone, off


def arrived(bench: Bench, out: Path, cell: Cell, watch: Watch, pipeline: Pipeline) -> tuple[int, list[ConceptMove]]:
    """Return how many studies of a target arrive, and what has an alarm."""
    fit, site = cell.fit, bench.lab.sites[cell.target]
    rows = bench.halves[cell.target, fit.seed].test
    path = Store(out).site(fit.encoder, fit.source, fit.seed, cell.target, cell.preprocessing, bench.recipe.streams[0])
    features = read_site(path).test.rows(one_a_patient(site, rows))
    values = pipeline.predict_features(features).state.static[:, watch.kept]
    order = np.random.default_rng(fit.seed).permutation(len(values))
    return len(values), watch.alarms(watch.held, values[order])


def source_row(found: Sequence[tuple[int, int, list[int]]], draws: int) -> dict[str, str]:
    """Return what `planted` found in all halves of a source, as a row."""
    false, alone = (interval(sum(one[place] for one in found), draws * len(found)) for place in (0, 1))
    off = np.concatenate([one[2] for one in found])
    missed = f"{np.median(off):.0f}, {np.quantile(off, 0.9):.0f}" if len(off) else "-"
    return {"false alarm": false, "found, and nothing else": alone, "start off by, median and 90%": missed}


def site_row(found: Sequence[tuple[int, list[ConceptMove]]]) -> dict[str, str]:
    """Return what `arrived` found in all halves of a target, as a row: means, the first alarm a median."""
    first = [min(one.alarm for one in alarms if one.alarm is not None) + 1 for _, alarms in found if alarms]
    large = [sum(one.verdict is Verdict.MOVED for one in alarms) for _, alarms in found]
    farthest = [max((abs(one.effect.value) for one in alarms), default=0.0) for _, alarms in found]
    return {
        "studies": f"{np.mean([many for many, _ in found]):.0f}",
        "concepts with an alarm": f"{np.mean([len(alarms) for _, alarms in found]):.1f}",
        "moved as far as matters": f"{np.mean(large):.1f}",
        "first alarm at arrival": f"{np.median(first):.0f}" if first else "-",
        "farthest mean, deviations": f"{np.mean(farthest):.2f}",
    }


def interval(hits: int, draws: int) -> str:
    """Return a share with its interval (Clopper and Pearson, 95%)."""
    bounds = binomtest(hits, draws).proportion_ci(0.95, method="exact")
    return f"{hits / draws:.1%} ({bounds.low:.1%} to {bounds.high:.1%})"


def tables(bench: Bench, out: Path, draws: int) -> Iterator[str]:
    """Yield the table of the sources and that of the sites, halves together."""
    sources: dict[tuple[str, ...], list[tuple[int, int, list[int]]]] = defaultdict(list)
    sites: dict[tuple[str, ...], list[tuple[int, list[ConceptMove]]]] = defaultdict(list)
    done: set[Fit] = set()
    for cell in cells_of(bench.recipe):
        fit = cell.fit
        if (cell.target, fit.seed) not in bench.halves:
            continue
        pipeline = load_bottleneck(out / "models" / fit.name)
        watch = Watch.of(pipeline)
        name = f"{fit.method} ({fit.encoder})"
        if fit not in done:
            done.add(fit)
            key = (name, fit.source, str(len(watch.held)), str(len(watch.ids)))
            sources[key].append(planted(watch, fit.seed, draws))
        sites[name, fit.source, cell.target, cell.preprocessing].append(arrived(bench, out, cell, watch, pipeline))
    columns = ("model", "source", "studies", "concepts")
    yield markdown([dict(zip(columns, key, strict=True)) | source_row(own, draws) for key, own in sources.items()])
    columns = ("model", "from", "to", "preprocessing")
    yield markdown([dict(zip(columns, key, strict=True)) | site_row(own) for key, own in sites.items()])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("bench", type=Path)
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help="halvings of each model's source (default: %(default)s)"
    )
    given = parser.parse_args()
    bench, _ = open_bench(read_recipe(given.recipe, AdaptRecipe))
    for table in tables(bench, given.bench, given.draws):
        print(table, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
