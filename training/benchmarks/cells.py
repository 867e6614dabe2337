"""Do named concepts, measured on white cells, hold in another laboratory where deep features do not? Real cells, three sites.

    python training/benchmarks/cells.py ../shared/data [--cache FOLDER] [--json FILE] [--parts choose dice score concepts]

Everything is fitted on the `train` part of `cells_pbc`: four kinds of cell for the heads and probes, all five kinds with their
WBCAtt attributes for the concepts. Strengths are chosen on half of the `val` part, temperatures fitted on the other half.
`choose` compares label-free corrections on laboratories simulated from the `val` part (`cells_simulated.py`), each with four
mixes of kinds: what it prefers is what `score` puts first. `score` then takes the `test` part and the cells of `cells_jtsc`
and `cells_cellavision`; a correction measures all images of a site together, without a label. Intervals are of a bootstrap
over images: no set names its patients, so they are too narrow. Balanced accuracy assumes that the four kinds are equally
common. The hand-drawn masks score the segmentation (`dice`) and are used for nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from cells_simulated import LABORATORIES, Simulated
from numpy.typing import NDArray
from PIL import Image

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.morphometry.smear import NotFound, segment
from osler_knowledge.bank import ConceptBank
from osler_knowledge.propose import build_bank
from osler_training.datasets import open_dataset
from osler_training.datasets.images import Images
from osler_training.evaluate.bootstrap import Estimate, estimate, patient_weights
from osler_training.evaluate.metrics import balanced_accuracy, binary_auroc, class_accuracies
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.controls import permuted_concepts, permuted_prior, random_concepts
from osler_training.fit.corrections import corrected
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Classifier, Cohort, Problem, Reference

SOURCE, TARGETS = "cells_pbc", ("cells_jtsc", "cells_cellavision")
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")
MEASURED, DEEP = "white_cell_morphometry", "imagenet_lite0"
CORRECTIONS: Mapping[str, tuple[str, Mapping[str, Any]] | None] = {
    "none": None,
    "feature_moments": ("feature_moments", {}),
    "feature_moments, robust": ("feature_moments", {"robust": True}),
    "coral": ("coral", {}),
    "mixture_alignment": ("mixture_alignment", {}),
}
# Corrections of images, for deep features: they are encoded anew. Only at the targets, where the opponent must be strong.
CHAINS: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "object_scale + feature_moments": (("object_scale", {}), ("feature_moments", {})),
    "object_scale + stain_matching + feature_moments": (
        ("object_scale", {}),
        ("stain_matching", {}),
        ("feature_moments", {}),
    ),
}
CHOSEN = "mixture_alignment"  # For the named model, by `choose`, before a target was scored.
MIXES = {
    "as at the source": (1.0, 1.0, 1.0, 1.0),
    "mostly neutrophils": (0.59, 0.17, 0.16, 0.07),
    "mostly lymphocytes": (0.33, 0.38, 0.16, 0.13),
    "few monocytes": (0.60, 0.30, 0.05, 0.05),
}
NAMED, PROBE, DEEP_PROBE = "named concepts", "probe on measurements", "probe on deep features"
SEED, REPLICATES = 20, 2000


@dataclass(frozen=True)
class Site:
    """Images of a site, and what an encoder makes of them."""

    images: Images | Simulated
    labels: NDArray[np.str_]

    @classmethod
    def of(cls, images: Images) -> Site:
        """Take labels from a set."""
        return cls(images, images.table["label"].to_numpy(str))

    def features(self, encoder: Encoder, cache: Path | None) -> Features:
        """Return the features of all images."""
        keys = list(self.images.keys)
        if cache is not None:
            return FeatureCache(cache, encoder).features(keys, self.images.load)
        return encoder.encode([self.images.load(number) for number in range(len(keys))])

    @cached_property
    def y(self) -> NDArray[np.intp]:
        """Class of each image (n,); -1 where it is none of the four kinds."""
        return np.array([CLASSES.index(one) if one in CLASSES else -1 for one in self.labels], np.intp)


@dataclass(frozen=True)
class Lab:
    """One encoder with all that was fitted on the source, and the features of every site."""

    encoder: Encoder
    fitted: Mapping[str, Classifier]
    corrections: Mapping[str, FittedCorrection | None]
    sites: Mapping[str, Features]
    chained: Mapping[tuple[str, str], Features]

    def probabilities(self, method: str, site: str, correction: str, among: NDArray[np.intp] | None = None) -> Array:
        """Return class probabilities (n, K) of a site; the correction measures the images `among` them, or all."""
        moved = self.corrected(site, correction, among)
        cohort = Cohort(moved, np.zeros(len(moved), np.intp), tuple(map(str, range(len(moved)))))
        return self.fitted[method].probabilities(cohort)

    def corrected(self, site: str, correction: str, among: NDArray[np.intp] | None = None) -> Features:
        """Return the features of a site after a correction."""
        if (correction, site) in self.chained:
            return self.chained[correction, site]
        features, one = self.sites[site], self.corrections[correction]
        if one is None:
            return features
        batch = features if among is None else features.rows(among)
        own = one.correction.measure(batch, one.reference)
        matched: Features = one.correction.match(features, own, one.reference)
        return matched


def read(folder: Path) -> dict[str, Images]:
    """Read the three sets; the source with its annotations."""
    sets = {name: open_dataset("any_csv", folder / name) for name in TARGETS}
    attributes = {"concepts_file": "concepts.csv", "concept_map": "wbcatt"}
    return {SOURCE: open_dataset("any_csv", folder / SOURCE, **attributes), **sets}


def problem_of(source: Images, features: Features, encoder: Encoder, bank: ConceptBank) -> Problem:
    """Return the task at the source."""
    site, part = Site.of(source), source.table["part"].to_numpy(str)
    concepts = source.concepts[list(bank.ids)].to_numpy(float)
    half = np.random.default_rng(SEED).random(len(source)) < 0.5

    def cohort(among: NDArray[np.bool_]) -> Cohort:
        rows = np.flatnonzero(among & (site.y >= 0))
        patients = tuple(source.patients[row] for row in rows)
        return Cohort(features.rows(rows), site.y[rows], patients, concepts=concepts[rows])

    train = np.flatnonzero(part == "train")
    findings = (site.labels[train][:, None] == np.array(CLASSES)).astype(float)
    reference = Reference(features.rows(train), tuple(source.patients[row] for row in train), concepts[train], findings)
    val = part == "val"
    return Problem(CLASSES, cohort(part == "train"), cohort(val & half), cohort(val & ~half), reference, bank, encoder)


def fitted(problem: Problem, *, measured: bool) -> dict[str, Classifier]:
    """Fit what is compared: for measurements with every control, for deep features the probe and its bottleneck."""
    if not measured:
        return {
            DEEP_PROBE: fit_method("linear_probe", problem, {}, seed=SEED),
            "bottleneck on deep features": fit_method("bottleneck_prior", problem, {}, seed=SEED),
        }
    return {
        NAMED: fit_method("measured", problem, {}, seed=SEED),
        "named, no prior": fit_method("measured", problem, {"head": {"strength": 0.0}}, seed=SEED),
        "named, prior alone (W = P)": fit_method("measured", problem, {"prior_only": True}, seed=SEED),
        "named, permuted prior": fit_method("measured", permuted_prior(problem, seed=SEED), {}, seed=SEED),
        "permuted concepts": fit_method("measured", permuted_concepts(problem, seed=SEED), {}, seed=SEED),
        "random concepts": fit_method("measured", random_concepts(problem, seed=SEED), {}, seed=SEED),
        "random concepts, no prior": fit_method(
            "measured", random_concepts(problem, seed=SEED), {"head": {"strength": 0.0}}, seed=SEED
        ),
        PROBE: fit_method("linear_probe", problem, {}, seed=SEED),
    }


def lab(name: str, sets: Mapping[str, Images], sites: Mapping[str, Site], bank: ConceptBank, cache: Path | None) -> Lab:
    """Encode every site, fit everything on the source, and measure the source for each correction."""
    encoder = open_encoder(name)
    source = Site.of(sets[SOURCE]).features(encoder, cache)
    problem = problem_of(sets[SOURCE], source, encoder, bank)
    corrections = {
        key: None if one is None else FittedCorrection.at_source(one[0], problem.reference.features, one[1])
        for key, one in CORRECTIONS.items()
        if not (key == "coral" and name == MEASURED)  # CORAL takes no gaps.
    }
    features = {key: site.features(encoder, cache) for key, site in sites.items()}
    chained = {} if name == MEASURED else through_chains(encoder, sets, cache)
    return Lab(encoder, fitted(problem, measured=name == MEASURED), corrections, features, chained)


def through_chains(encoder: Encoder, sets: Mapping[str, Images], cache: Path | None) -> dict[tuple[str, str], Features]:
    """Return the features of each target after each chain that corrects images too."""
    train = sets[SOURCE].rows(np.flatnonzero(sets[SOURCE].table["part"].to_numpy(str) == "train"))
    found = {}
    for name, chain in CHAINS.items():
        _, reference = corrected(encoder, train, chain, cache=cache)
        for target in TARGETS:
            found[name, target] = corrected(encoder, sets[target], chain, reference, cache)[0]
    return found


def simulated(sets: Mapping[str, Images]) -> dict[str, Site]:
    """Return the `val` part as each laboratory would have made it, and as two would together."""
    source = sets[SOURCE]
    held = source.rows(np.flatnonzero(source.table["part"].to_numpy(str) == "val"))
    labels = held.table["label"].to_numpy(str)
    known = {name: (name,) for name in LABORATORIES} | {"warm and white": ("warm", "white")}
    return {name: Site(Simulated(tuple(held.keys), held.load, which), labels) for name, which in known.items()}


def mixed(y: NDArray[np.intp], mix: Sequence[float]) -> NDArray[np.intp]:
    """Return rows that hold the four kinds in these proportions, as many as there are."""
    counts, shares = np.array([(y == k).sum() for k in range(len(CLASSES))]), np.array(mix)
    wanted = (shares * (counts / shares).min()).astype(int)
    rng = np.random.default_rng(SEED)
    rows = [rng.permutation(np.flatnonzero(y == k))[: max(4, wanted[k])] for k in range(len(CLASSES))]
    return np.sort(np.concatenate(rows))


def choose(one: Lab, sites: Mapping[str, Site], methods: Sequence[str]) -> dict[str, Any]:
    """Return the mean and the least balanced accuracy over simulated laboratories and mixes, by method and correction."""
    table: dict[str, Any] = {}
    for method in methods:
        for correction in one.corrections:
            scores = []
            for name, site in sites.items():
                known = np.flatnonzero(site.y >= 0)
                for mix in MIXES.values():
                    prob = one.probabilities(method, name, correction, mixed(site.y, mix))[known]
                    scores.append(balanced_accuracy(site.y[known], prob, np.ones((1, len(known))))[0])
            table[f"{method}, {correction}"] = {
                "mean": round(float(np.mean(scores)), 3),
                "least": round(float(min(scores)), 3),
            }
    return table


def score(labs: Sequence[Lab], sites: Mapping[str, Site]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return balanced accuracy, recalls and replicates of every method under every correction at every site."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for one in labs:
        for method in one.fitted:
            for correction in [*one.corrections, *dict.fromkeys(chain for chain, _ in one.chained)]:
                for name, site in sites.items():
                    if correction in CHAINS and name not in TARGETS:
                        continue
                    known = np.flatnonzero(site.y >= 0)
                    y, prob = site.y[known], one.probabilities(method, name, correction)[known]
                    weights = patient_weights([str(row) for row in known], seed=SEED, replicates=REPLICATES)
                    recall = class_accuracies(y, prob, np.ones((1, len(y))))[0]
                    rows.setdefault(method, {}).setdefault(correction, {})[name] = {
                        "estimate": estimate(balanced_accuracy, y, prob, weights),
                        "recall": dict(zip(CLASSES, recall.round(3).tolist(), strict=True)),
                        "cells": len(y),
                    }
    return rows


def concept_table(one: Lab, bank: ConceptBank, test: Images, second: Images) -> dict[str, Any]:
    """Return the AUROC of every concept in the domain, against both readers of the test part."""
    table: dict[str, Any] = {}
    for reader, truth in (("first", test.concepts), ("second", second.concepts)):
        rows = truth.notna().all(axis=1).to_numpy()
        found = named_scores(one, one.sites["test"].rows(np.flatnonzero(rows)))
        for c, concept in enumerate(found[0]):
            answer = truth[concept].to_numpy(float)[rows]
            if min((answer == 1).sum(), (answer == 0).sum()) >= 10:
                area = binary_auroc(answer == 1, found[1][:, c], np.ones((1, len(answer))))[0]
                table.setdefault(concept, {})[reader] = round(float(area), 3)
    means = {
        reader: round(float(np.mean([one[reader] for one in table.values() if reader in one])), 3)
        for reader in ("first", "second")
    }
    return {"mean": means, **table}


def named_scores(one: Lab, features: Features) -> tuple[tuple[str, ...], Array]:
    """Return the concepts of the named model and their probabilities (n, C)."""
    model = one.fitted[NAMED]
    assert isinstance(model, BottleneckClassifier)
    return model.pipeline.bank.ids, model.pipeline.predict_features(features).state.static


def moved(one: Lab, sites: Mapping[str, Site], correction: str) -> dict[str, Any]:
    """Return, for each target and kind, the three concepts that pull its cells most away from it against the source.

    What a concept pulls is its mean probability there less that at the test part, times its weight for the kind less the
    mean weight for the others.
    """
    model = one.fitted[NAMED]
    assert isinstance(model, BottleneckClassifier)
    weights = model.pipeline.head.weights()
    assert weights is not None
    found: dict[str, Any] = {}
    ids, source = named_scores(one, one.corrected("test", correction))
    for name in TARGETS:
        _, here = named_scores(one, one.corrected(name, correction))
        for k, kind in enumerate(CLASSES):
            change = here[sites[name].y == k].mean(axis=0) - source[sites["test"].y == k].mean(axis=0)
            others = np.delete(weights, k, axis=0).mean(axis=0)
            pull = change * (weights[k] - others)
            worst = np.argsort(pull)[:3]
            found[f"{name}, {kind}"] = {
                ids[c]: {"change": round(float(change[c]), 2), "pull": round(float(pull[c]), 2)} for c in worst
            }
    return found


def dice_of(images: Images, folder: Path) -> dict[str, Any]:
    """Return the mean Dice of nucleus and cell against the masks; a cell that was not found counts 0."""
    scores, lost, started = [], 0, time.process_time()
    for number, path in enumerate(images.table["mask"]):
        drawn = np.asarray(Image.open(folder / path))
        found = segment(images.load(number))
        if isinstance(found, NotFound):
            lost += 1
            scores.append((0.0, 0.0))
            continue
        pairs = ((found.nucleus, drawn == 255), (found.cell, drawn > 0))
        scores.append(tuple(2 * (ours & truth).sum() / max(ours.sum() + truth.sum(), 1) for ours, truth in pairs))
    weights = patient_weights([str(one) for one in range(len(scores))], seed=SEED, replicates=REPLICATES)
    table = np.array(scores)
    means = weights @ table / weights.sum(1, keepdims=True)
    dice = {
        name: printed(Estimate(float(table[:, column].mean()), means[:, column]))
        for column, name in enumerate(("nucleus", "cell"))
    }
    seconds = (time.process_time() - started) / len(scores)
    return {**dice, "cells": len(scores), "not_found": lost, "seconds_per_cell": round(seconds, 3)}


def speed(images: Images, count: int = 100) -> dict[str, float]:
    """Return the processor's seconds that measuring a cell takes, over some cells of the source, already read."""
    encoder = open_encoder(MEASURED)
    some = [images.load(number) for number in range(0, len(images), len(images) // count)]
    started = time.process_time()
    encoder.encode(some)
    seconds = (time.process_time() - started) / len(some)
    return {"seconds_per_cell": round(seconds, 4), "cells_per_second": round(1 / seconds, 1)}


def printed(one: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {"value": round(one.value, 3), "ci": [round(end, 3) for end in one.ci]}


def run(folder: Path, cache: Path | None, parts: Sequence[str]) -> dict[str, Any]:
    """Measure everything that is asked for; see the module."""
    sets = read(folder)
    result: dict[str, Any] = {}
    if "speed" in parts:
        result["speed"] = speed(sets[SOURCE])
    if "dice" in parts:
        result["dice"] = {name: dice_of(sets[name], folder / name) for name in TARGETS}
    if not {"choose", "score", "concepts"} & set(parts):
        return result
    bank = build_bank(task="blood-cell").subset(tuple(sets[SOURCE].concepts.columns))
    part = sets[SOURCE].table["part"].to_numpy(str)
    test = sets[SOURCE].rows(np.flatnonzero(part == "test"))
    real = {"test": Site.of(test), **{name: Site.of(sets[name]) for name in TARGETS}}
    made = simulated(sets) if "choose" in parts else {}
    labs = [lab(name, sets, {**real, **made}, bank, cache) for name in (MEASURED, DEEP)]
    if "choose" in parts:
        result["choose"] = choose(labs[0], made, (NAMED, PROBE)) | choose(labs[1], made, (DEEP_PROBE,))
        print(json.dumps(result["choose"], indent=1), flush=True)
    if "score" in parts:
        result |= compared(score(labs, real))
        gaps = {name: round(float(np.isnan(labs[0].sites[name].pooled).mean()), 4) for name in real}
        result["unmeasured_share"] = gaps
        result["moved"] = moved(labs[0], real, "mixture_alignment")
    if "concepts" in parts:
        attributes = {"concepts_file": "concepts_second_reader.csv", "concept_map": "wbcatt"}
        second = open_dataset("any_csv", folder / SOURCE, **attributes).rows(np.flatnonzero(part == "test"))
        result["concept_auroc"] = concept_table(labs[0], bank, test, second)
    return result


def compared(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the scores as JSON, and named concepts less every other method, paired, under the same correction."""
    scores = {
        f"{method}, {correction}": {
            name: {**one, "estimate": printed(one["estimate"])} for name, one in by_site.items()
        }
        for method, by_correction in rows.items()
        for correction, by_site in by_correction.items()
    }
    less: dict[str, Any] = {}
    for method, by_correction in rows.items():
        for correction, by_site in by_correction.items():
            # Under the same correction, and as chosen against whatever is done for the other.
            for own in sorted({correction, CHOSEN} & set(rows[NAMED]) - ({correction} if method == NAMED else set())):
                less[f"{NAMED}, {own} less {method}, {correction}"] = {
                    name: printed(rows[NAMED][own][name]["estimate"].minus(one["estimate"]))
                    for name, one in by_site.items()
                }
    return {"balanced_accuracy": scores, "differences": less}


PARTS = ("speed", "dice", "choose", "score", "concepts")


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with cells_pbc, cells_jtsc and cells_cellavision")
    parser.add_argument("--cache", type=Path, help="keep features in this folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all by default")
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.folder, arguments.cache, arguments.parts), indent=1)
    sys.stdout.write(text + "\n")
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
