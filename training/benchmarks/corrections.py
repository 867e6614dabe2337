"""How far each label-free site correction carries a linear probe on white cells from one laboratory to two others.

    python training/benchmarks/corrections.py --data DIR [--encoder imagenet_lite0] [--cache DIR] [--json FILE]

`DIR` holds `cells_pbc`, `cells_jtsc` and `cells_cellavision`, each with `metadata.csv`. The probe is fitted on the train part
of PBC (its strength chosen on half of the val part, its temperature on the other half) and meets neutrophils, lymphocytes,
monocytes and eosinophils. Every correction takes its reference from the same training images. A site is measured on all its
test images at once, without a label, and so are 200 of the test part of PBC, as if they were a site of their own. Nothing is
chosen on a site: the table shows every row. Intervals are by bootstrap over images (none of the three knows patients, so they
are optimistic), differences from the uncorrected probe are paired.

`mix` repeats JTSC and CellaVision with the shares of the classes brought to those of the source (each class drawn with
replacement to the same number, ten draws) for features and probabilities; pixels keep what the whole site measured. What a
correction of moments makes of a site's mix of classes is in the difference between both columns.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.correction import FittedCorrection, through_stage
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler.bottleneck.site_images import spread_out
from osler_training.datasets import open_dataset
from osler_training.datasets.images import Images
from osler_training.evaluate.bootstrap import Estimate, estimate, patient_weights
from osler_training.evaluate.metrics import Labels, balanced_accuracy
from osler_training.fit.corrections import at_site, corrected, corrected_probabilities
from osler_training.fit.probe import Probe, fit_probe
from osler_training.fit.problem import Cohort

CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")
CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DRAWS = 10
Recipe = Sequence[tuple[str, Mapping[str, Any]]]
RECIPES: dict[str, Recipe] = {
    "none": [],
    "feature_moments": [("feature_moments", {})],
    "feature_moments, robust": [("feature_moments", {"robust": True})],
    "coral": [("coral", {})],
    "image_moments": [("image_moments", {})],
    "image_moments, quantiles": [("image_moments", {"transfer": "quantiles"})],
    "stain_matching": [("stain_matching", {})],
    "stain_matching, fixed white": [("stain_matching", {"white": "fixed"})],
    "object_scale, nucleus": [("object_scale", {})],
    "object_scale, cell": [("object_scale", {"segmenter": "white_cell"})],
    "prior_shift": [("prior_shift", {})],
    "feature_moments + prior_shift": [("feature_moments", {}), ("prior_shift", {})],
    "image_moments + feature_moments": [("image_moments", {}), ("feature_moments", {})],
    "object_scale + feature_moments": [("object_scale", {}), ("feature_moments", {})],
    "object_scale + image_moments": [("object_scale", {}), ("image_moments", {})],
    "object_scale + image_moments + feature_moments": [
        ("object_scale", {}),
        ("image_moments", {}),
        ("feature_moments", {}),
    ],
    "object_scale + stain_matching + feature_moments": [
        ("object_scale", {}),
        ("stain_matching", {}),
        ("feature_moments", {}),
    ],
    "object_scale + stain_matching + coral": [("object_scale", {}), ("stain_matching", {}), ("coral", {})],
}


@dataclass(frozen=True)
class Bench:
    """What all recipes share."""

    encoder: Encoder
    cache: Path
    source: Images
    probe: Probe
    prior: Array
    tests: Mapping[str, Images]
    seed: int

    def estimates(self, recipe: Recipe) -> dict[str, Estimate]:
        """Return the balanced accuracy at every site, and over its draws with the source's shares of classes."""
        _, fitted = corrected(self.encoder, self.source, recipe, cache=self.cache)
        pixels = [one for one in fitted if one.stage == "image"]
        found: dict[str, Estimate] = {}
        for name, images in self.tests.items():
            y, weights = labels(images), patient_weights(images.patients, seed=self.seed)
            looked, _ = at_site(self.encoder, images, pixels, self.cache)
            prob = self._probabilities(cohort(looked, images), fitted)
            found[name] = estimate(balanced_accuracy, y, prob, weights)
            if name != "pbc":
                drawn = self._draws(y)
                prob = np.concatenate(
                    [self._probabilities(cohort(looked, images).rows(rows), fitted) for rows in drawn]
                )
                rows = np.concatenate(drawn)
                # An image that the bootstrap draws counts wherever it was drawn before.
                found[f"{name}, mix"] = estimate(balanced_accuracy, y[rows], prob, weights[:, rows])
        return found

    def _draws(self, y: Labels) -> list[NDArray[np.intp]]:
        """Return rows in which every class is as frequent as the others."""
        most = np.bincount(y).max()
        draws = [np.random.default_rng([self.seed, draw]) for draw in range(DRAWS)]
        return [
            np.concatenate([rng.choice(np.flatnonzero(y == k), most) for k in range(len(CLASSES))]) for rng in draws
        ]

    def _probabilities(self, site: Cohort, fitted: Sequence[FittedCorrection]) -> Array:
        features, _ = through_stage(fitted, "feature", site.features)
        prob = self.probe.probabilities(replace(site, features=features))
        return corrected_probabilities(prob, fitted, self.prior)


def labels(images: Images) -> Labels:
    """Return the class of each image (n,)."""
    return np.array([CLASSES.index(one) for one in images.table["label"]], np.intp)


def cohort(features: Features, images: Images) -> Cohort:
    """Return labelled images."""
    return Cohort(features, labels(images), images.patients)


def open_bench(data: Path, encoder: Encoder, cache: Path, seed: int, most: int) -> Bench:
    """Read the sites and fit the probe; the test part of PBC has at most so many images, evenly apart."""
    sites = {name: open_dataset("any_csv", data / f"cells_{name}") for name in ("pbc", "jtsc", "cellavision")}
    sites = {name: one.rows(one.table["label"].isin(CLASSES).to_numpy()) for name, one in sites.items()}
    parts = {
        name: sites["pbc"].rows((sites["pbc"].table["part"] == name).to_numpy()) for name in ("train", "val", "test")
    }
    cohorts = {name: cohort(corrected(encoder, one, [], cache=cache)[0], one) for name, one in parts.items()}
    first = np.arange(len(cohorts["val"])) % 2 == 0
    val, train = cohorts["val"], cohorts["train"]
    probe = fit_probe(train.features.pooled, train.y, val.rows(first), val.rows(~first), CS)
    prior = np.bincount(train.y) / len(train)
    some = parts["test"].rows(spread_out(len(parts["test"]), most))
    tests = {"pbc": some, "jtsc": sites["jtsc"], "cellavision": sites["cellavision"]}
    return Bench(encoder, cache, parts["train"], probe, prior, tests, seed)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="imagenet_lite0")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--only", nargs="*", default=list(RECIPES), metavar="ROW")
    parser.add_argument("--most", type=int, default=200, metavar="N", help="most images of the test part of PBC")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bench = open_bench(arguments.data, open_encoder(arguments.encoder), arguments.cache, arguments.seed, arguments.most)
    base = bench.estimates(RECIPES["none"])
    rows: dict[str, Any] = {}
    print(f"probe: {bench.probe.record()}; sites: { {name: len(one) for name, one in bench.tests.items()} }")
    for name in arguments.only:
        found = bench.estimates(RECIPES[name])
        rows[name] = {
            site: {
                "value": one.value,
                "ci": one.ci,
                "gain": one.minus(base[site]).value,
                "gain_ci": one.minus(base[site]).ci,
            }
            for site, one in found.items()
        }
        print(line(name, rows[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def line(name: str, sites: Mapping[str, Any]) -> str:
    """Return a row of the table in Markdown."""
    cells = [
        f"{100 * one['value']:.1f} ({100 * one['ci'][0]:.1f}-{100 * one['ci'][1]:.1f})"
        + (
            f"; {100 * one['gain']:+.1f} ({100 * one['gain_ci'][0]:+.1f} to {100 * one['gain_ci'][1]:+.1f})"
            if name != "none"
            else ""
        )
        for one in sites.values()
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
