"""Do measurements of white cells hold in another laboratory where deep features do not? Real cells of three sites.

    python training/benchmarks/cells.py ../shared/data [--cache FOLDER] [--json FILE]

A logistic regression is trained on the `train` part of `cells_pbc` to tell four kinds of cell apart; its penalty is chosen
on the `val` part; it is scored on the `test` part and on every cell of `cells_jtsc` and `cells_cellavision`, which nothing
was chosen on. Features are the measurements of `white_cell_morphometry` or those of `imagenet_lite0`; each is scaled by the
statistics of the training part, or by each site's own (no labels, but all images of a site together). Intervals are of a
bootstrap over images: none of the three sets names its patients, so they are too narrow. Balanced accuracy assumes that the
four kinds are equally common. The hand-drawn masks score the segmentation and are used for nothing else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.feature_cache import FeatureCache, image_key
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array
from osler.morphometry.smear import NotFound, segment
from osler.morphometry.standardise import standardise
from osler_training.evaluate.bootstrap import Estimate, estimate, patient_weights
from osler_training.evaluate.metrics import balanced_accuracy, class_accuracies

SOURCE, TARGETS = "cells_pbc", ("cells_jtsc", "cells_cellavision")
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")
ENCODERS = ("white_cell_morphometry", "imagenet_lite0")
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SEED, REPLICATES = 20, 2000


@dataclass(frozen=True)
class Cells:
    """The cells of one set: paths, class of each, part of each and, where drawn, its mask."""

    name: str
    paths: list[Path]
    labels: NDArray[np.str_]
    parts: NDArray[np.str_]
    masks: list[Path]

    @classmethod
    def read(cls, folder: Path) -> Cells:
        """Read a set in the layout of the data pack."""
        table = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
        masks = [folder / one for one in table["mask"]] if "mask" in table else []
        paths = [folder / one for one in table["image"]]
        return cls(folder.name, paths, table["label"].to_numpy(str), table["split_hint"].to_numpy(str), masks)

    def image(self, number: int) -> Array:
        """Read an image (H, W, 3) in [0, 1]."""
        return np.asarray(Image.open(self.paths[number]).convert("RGB"), np.float32) / 255

    def features(self, encoder: Encoder, cache: Path | None) -> Array:
        """Return the features (n, D), from a cache where there is one."""
        if cache is not None:
            keys = [image_key(sha256_of(path)) for path in self.paths]
            return FeatureCache(cache, encoder).features(keys, self.image).pooled
        return np.concatenate([encoder.encode([self.image(number)]).pooled for number in range(len(self.paths))])


def dice_of(cells: Cells) -> dict[str, Any]:
    """Return the mean Dice of nucleus and cell against the masks; a cell that was not found counts 0."""
    scores, lost = [], 0
    for number, path in enumerate(cells.masks):
        drawn = np.asarray(Image.open(path))
        found = segment(cells.image(number))
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
    return {**dice, "cells": len(scores), "not_found": lost}


def fit(x: Array, y: NDArray[np.intp], held_x: Array, held_y: NDArray[np.intp]) -> tuple[Pipeline, float]:
    """Fit a logistic regression with the penalty that does best on the held-out part; the stiffest of equals."""
    ones = np.ones((1, len(held_y)))
    scores = []
    for C in PENALTIES:
        # What could not be measured takes the mean of the training part: it then says nothing.
        model = make_pipeline(
            SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(C=C, max_iter=3000)
        )
        model.fit(x, y)
        scores.append((balanced_accuracy(held_y, model.predict_proba(held_x), ones)[0], -C, model))
    _, negative, best = max(scores, key=lambda one: one[:2])
    return best, -negative


def trial(features: Mapping[str, Array], sets: Mapping[str, Cells], *, by_site: bool) -> dict[str, dict[str, Any]]:
    """Train on the source, score everywhere; returns a record a part, with its replicates for pairing."""
    scaled = {
        name: standardise(values, [name] * len(values)) if by_site else values for name, values in features.items()
    }
    parts = {
        part: rows_of(scaled[SOURCE], sets[SOURCE], sets[SOURCE].parts == part) for part in ("train", "val", "test")
    }
    model, C = fit(*parts["train"], *parts["val"])
    tested = {SOURCE: parts["test"]}
    tested |= {name: rows_of(scaled[name], sets[name], np.ones(len(sets[name].labels), bool)) for name in TARGETS}
    scores: dict[str, dict[str, Any]] = {}
    for name, (x, y) in tested.items():
        weights = patient_weights([str(one) for one in range(len(y))], seed=SEED, replicates=REPLICATES)
        prob = model.predict_proba(x)
        recall = class_accuracies(y, prob, np.ones((1, len(y))))[0]
        scores[name] = {
            "estimate": estimate(balanced_accuracy, y, prob, weights),
            "recall": dict(zip(CLASSES, recall.round(3).tolist(), strict=True)),
            "cells": len(y),
            "C": C,
        }
    return scores


def rows_of(x: Array, cells: Cells, among: NDArray[np.bool_]) -> tuple[Array, NDArray[np.intp]]:
    """Return features and classes of the cells of the four kinds among some."""
    rows = among & np.isin(cells.labels, CLASSES)
    return x[rows], np.array([CLASSES.index(one) for one in cells.labels[rows]], np.intp)


def printed(one: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {"value": round(one.value, 3), "ci": [round(end, 3) for end in one.ci]}


def run(folder: Path, cache: Path | None, encoders: Sequence[str]) -> dict[str, Any]:
    """Measure everything; see the module."""
    sets = {name: Cells.read(folder / name) for name in (SOURCE, *TARGETS)}
    result: dict[str, Any] = {"dice": {name: dice_of(sets[name]) for name in TARGETS}, "balanced_accuracy": {}}
    trials: dict[tuple[str, bool], dict[str, dict[str, Any]]] = {}
    for encoder_name in encoders:
        encoder = open_encoder(encoder_name)
        features = {name: cells.features(encoder, cache) for name, cells in sets.items()}
        if encoder_name == ENCODERS[0]:
            result["unmeasured_share"] = {name: round(float(np.isnan(x).mean()), 4) for name, x in features.items()}
        for by_site in (False, True):
            scores = trials[encoder_name, by_site] = trial(features, sets, by_site=by_site)
            key = f"{encoder_name}, {'each site' if by_site else 'source'} scaling"
            result["balanced_accuracy"][key] = {
                name: {**one, "estimate": printed(one["estimate"])} for name, one in scores.items()
            }
    if len(encoders) == len(ENCODERS):
        result["measurements_minus_deep"] = {
            f"{name}, {'each site' if by_site else 'source'} scaling": printed(
                trials[ENCODERS[0], by_site][name]["estimate"].minus(trials[ENCODERS[1], by_site][name]["estimate"])
            )
            for by_site in (False, True)
            for name in (SOURCE, *TARGETS)
        }
    return result


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with cells_pbc, cells_jtsc and cells_cellavision")
    parser.add_argument("--cache", type=Path, help="keep features in this folder")
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS), help="both by default")
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.folder, arguments.cache, arguments.encoders), indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
