"""What M19 says of bottlenecks on real white cells: interventions, leakage, sparsity, and what annotators agree on.

    python training/benchmarks/cells_concepts.py ../shared/data [--cache FOLDER] [--json FILE] [--purity] [--methods ...]

Fitted and split as `cells.py` does. Concepts of one WBCAtt attribute exclude each other and are corrected together. The two
other laboratories have no annotated concepts: what needs them is unmeasured there. So that corrections and concepts are seen
out of domain as well, the cells of the `test` part are also shown as another stain would have made them
(`cells_simulated.py`): the same cells, so that what moved is paired. No set names its patients, so intervals are over images
and too narrow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cells import CLASSES, SEED, SOURCE, TARGETS, Site, problem_of, read
from cells_simulated import Simulated

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.scorers.margin import MarginScorer
from osler_knowledge.propose import build_bank
from osler_training.datasets import open_dataset
from osler_training.datasets.concept_maps import map_named
from osler_training.datasets.images import Images
from osler_training.evaluate.agreement import label_agreement
from osler_training.evaluate.bottleneck_report import BottleneckReport, ReportRule, shown
from osler_training.evaluate.concepts import excluded, moved_concepts
from osler_training.evaluate.correcting import Examined
from osler_training.evaluate.interventions import intervention_curves
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import score
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Cohort, Problem

STAIN = "stain"
SIMULATED = f"simulated {STAIN}"
METHODS = {"measured": "white_cell_morphometry", "bottleneck_prior": "imagenet_lite0", "pcbm": "imagenet_lite0"}


def attributes(ids: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the concepts of each WBCAtt attribute that a bank has."""
    groups: dict[str, list[str]] = {}
    for concept, rule in map_named("wbcatt").rules.items():
        if concept in ids:
            groups.setdefault(rule.column, []).append(concept)
    return {name: tuple(members) for name, members in groups.items()}


def restained(source: Images, encoder: Encoder, cache: Path | None) -> Features:
    """Return the features of the cells that are tested on, as another stain would have made them."""
    rows = (source.table["part"].to_numpy(str) == "test") & (Site.of(source).y >= 0)
    test = source.rows(np.flatnonzero(rows))
    made = Simulated(tuple(test.keys), test.load, (STAIN,))
    return Site(made, test.table["label"].to_numpy(str)).features(encoder, cache)


def cohort(images: Images, features: Any, ids: tuple[str, ...], part: str = "") -> Cohort:
    """Return the cells of the four kinds of a part, with what is known of their concepts."""
    site = Site.of(images)
    rows = np.flatnonzero((site.y >= 0) & ((images.table["part"].to_numpy(str) == part) | (part == "")))
    concepts = images.concepts.reindex(columns=list(ids)).to_numpy(float)[rows]
    patients = tuple(images.patients[row] for row in rows)
    keys = tuple(images.keys[row] for row in rows)
    return Cohort(features.rows(rows), site.y[rows], patients, study_uids=keys, concepts=concepts)


def records_of(
    model: BottleneckClassifier, test: Cohort, ids: tuple[str, ...], thresholds: Mapping[str, float], site: str
) -> Records:
    """Return the flat table of a test set."""
    bank = model.pipeline.bank
    state = model.pipeline.state(test.features)
    truth: Array = np.asarray(test.concepts)[:, [ids.index(one) for one in bank.ids]]
    return Records(
        classes=CLASSES,
        y=test.y,
        prob=model.probabilities(test),
        studies=test.study_uids,
        patients=test.patients,
        sites=(site,) * len(test),
        concepts=bank.ids,
        concept_value=state.static,
        concept_prob=None if state.prob is None else state.prob[:, 0],
        concept_truth=truth,
        head={"concept_thresholds": dict(thresholds)},
    )


def concepts_read(source: Records, target: Records) -> Any:
    """Return how well each concept is read at the source and under another stain, which moved, and which are too rare."""
    return {
        "source": score(source, seed=SEED),
        "simulated": score(target, seed=SEED),
        "moved": {
            one.concept: {
                "source": one.source.value,
                "target": one.target.value,
                "difference": shown(one.difference),
                "p_corrected": one.p_corrected,
            }
            for one in moved_concepts(source, target, seed=SEED)
        },
        "excluded": sorted(excluded(source)),
    }


def clamped_to(
    pipeline: Pipeline, scorer: MarginScorer, train: Cohort, test: Cohort, ids: tuple[str, ...]
) -> dict[str, Any]:
    """Return what correcting everything gains where margins are clamped to other percentiles of annotated training cells.

    Absences are clamped to a percentile of absent concepts, presences to one of present ones; the scorer itself takes the 5th
    and the 95th of all. Nothing of it is chosen for use.
    """
    values = pipeline.state(train.features).static
    truth = np.asarray(train.concepts)[:, [ids.index(one) for one in pipeline.bank.ids]]
    examined = Examined(test.features, test.y, test.patients, np.asarray(test.concepts), ids)
    found = {}
    for low, high in ((5, 95), (25, 75), (50, 50)):
        limits = [
            [np.percentile(value[answer == side], share) for side, share in ((0, low), (1, high))]
            for value, answer in zip(values.T, truth.T, strict=True)
        ]
        other = replace(pipeline, scorer=replace(scorer, percentiles=np.array(limits)))
        curve = intervention_curves(other, examined, ["importance"], seed=SEED, steps=1, balanced=True)["importance"]
        found[f"{low} and {high}"] = {"ceiling": shown(curve.accuracy[-1]), "gain": shown(curve.gain)}
    return found


def agreement(first: Images, second: Images, ids: tuple[str, ...]) -> dict[str, Any]:
    """Return how far the second reader agrees with the first on each concept."""
    place = {path: row for row, path in enumerate(first.table["path"])}
    rows = [place[path] for path in second.table["path"]]
    both = (one.concepts.reindex(columns=list(ids)).to_numpy(float) for one in (first, second))
    known, other = both
    patients = [first.patients[row] for row in rows]
    found = label_agreement(known[rows], other, patients, ids, seed=SEED)
    return {one.concept: {"n": one.n, "kappa": shown(one.kappa), "same": shown(one.same)} for one in found}


def run(folder: Path, cache: Path | None, methods: Sequence[str], purity: bool) -> dict[str, Any]:
    """Return everything."""
    sets = read(folder)
    ids = tuple(sets[SOURCE].concepts.columns)
    bank = build_bank(task="blood-cell").subset(ids)
    second = open_dataset("any_csv", folder / SOURCE, concepts_file="concepts_second_reader.csv", concept_map="wbcatt")
    second = second.rows(np.flatnonzero(second.concepts.notna().any(axis=1)))
    result: dict[str, Any] = {"agreement": agreement(sets[SOURCE], second, ids)}
    for method in methods:
        encoder, start = open_encoder(METHODS[method]), time.perf_counter()
        features = {site: Site.of(images).features(encoder, cache) for site, images in sets.items()}
        problem: Problem = problem_of(sets[SOURCE], features[SOURCE], encoder, bank)
        model = fit_method(method, problem, {}, seed=SEED)
        assert isinstance(model, BottleneckClassifier)
        rule = ReportRule(groups=attributes(model.pipeline.bank.ids), steps=None, purity=purity)
        report = BottleneckReport(model.pipeline, ids, problem.train, problem.select, rule, SEED)
        tests = {"id": cohort(sets[SOURCE], features[SOURCE], ids, "test")}
        tests[SIMULATED] = replace(tests["id"], features=restained(sets[SOURCE], encoder, cache))
        tests |= {site: cohort(sets[site], features[site], ids) for site in TARGETS}
        fitted, started = time.perf_counter() - start, time.perf_counter()
        result[method] = report.of(tests)
        if isinstance(scorer := model.pipeline.scorer, MarginScorer):
            result[method]["clamped_to"] = clamped_to(model.pipeline, scorer, problem.train, tests["id"], ids)
        tables = (records_of(model, tests[name], ids, report.thresholds, name) for name in ("id", SIMULATED))
        result[method]["concepts"] = concepts_read(*tables)
        result[method]["seconds"] = {"fit": round(fitted, 1), "report": round(time.perf_counter() - started, 1)}
    return result


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with cells_pbc, cells_jtsc and cells_cellavision")
    parser.add_argument("--cache", type=Path, help="keep features in this folder")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="all by default")
    parser.add_argument("--purity", action="store_true", help="measure OIS, NIS and CAS too: minutes")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.folder, arguments.cache, arguments.methods, arguments.purity), indent=1)
    sys.stdout.write(text + "\n")
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
