"""Do heat maps lie where the disease was drawn? Concept maps (M10) against gradient maps of black boxes, on phantoms.

    python training/benchmarks/pointing.py [--cache FOLDER] [--json FILE] [--figure FILE]

Concepts are learned from reports alone, at four reference sites; no mask is ever learned from. Maps are scored at test studies
of hospital A that show the concept: pointing (is the highest pixel in the mask?), and the map's mass in the mask over the
mask's share of the image. Chance is the area of the mask, and pointing always at where the masks of the other patients overlap
most, which knows anatomy and sees no image. The black boxes are a CNN that was fine-tuned end to end on the diagnoses of
hospital A (maps of the class that it predicts) and the logistic grounding of the same encoder's pooled feature (gradient of
the concept's own score). Intervals are of a bootstrap over patients; differences are paired.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler_knowledge.propose import build_bank
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.localisation import compare_maps, upsampled
from osler_training.experiments.pointing import (
    Pointed,
    PointingPlan,
    Setting,
    Shown,
    class_maps,
    concept_gradients,
    concept_maps,
    point,
    prepare,
    summary,
)
from osler_training.fit.methods import fit_method
from osler_training.phantom.parameters import DEVICES
from osler_training.phantom.regions import FINDING_OF, REGION_CONCEPTS

OURS = "concept map"
PUBLISHED = {"attention": "query", "layer_norm": True, "centred": False}
# Where anatomy alone tells the place, pointing there needs no look at the image; these show now here, now there.
WANDERING = (
    "blunted_costophrenic_angle",
    "meniscus_sign",
    "basal_opacity",
    "airspace_opacity",
    "air_bronchograms",
    "focal_opacity",
    "lobar_distribution",
    "visceral_pleural_line",
    "absent_peripheral_lung_markings",
    "rounded_opacity",
    "linear_opacity",
)


def all_maps(last: Setting, third: Setting, seed: int) -> tuple[dict[str, Shown], dict[str, Any]]:
    """Fit every method and return its maps of the test studies, with what the fits recorded."""
    asked: dict[str, tuple[str, Setting, dict[str, Any]]] = {
        OURS: ("spatial", third, {}),
        "not centred": ("spatial", third, {"centred": False}),
        "last tokens": ("spatial", last, {}),
        "M10 as published": ("spatial", last, PUBLISHED),
        "logistic map": ("bottleneck", last, {}),
        "CNN": ("fine_tuned_cnn", last, {"epochs": 6}),
    }
    fitted: dict[str, Any] = {}
    for name, (method, setting, options) in asked.items():
        fitted[name] = fit_method(method, setting.problem, options, seed=seed)
        print(f"fitted {name}", flush=True)
    maps = {name: concept_maps(one, asked[name][1].test) for name, one in fitted.items() if name != "CNN"}
    maps["concept gradient"] = concept_gradients(fitted["logistic map"], last, REGION_CONCEPTS)
    maps |= class_maps(fitted["CNN"], last.test)
    right = {
        name: float((one.probabilities(asked[name][1].test).argmax(1) == last.test.y).mean())
        for name, one in fitted.items()
    }
    return maps, {name: {"accuracy": round(right[name], 3), **one.record()} for name, one in fitted.items()}


def printed(one: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {"value": round(one.value, 3), "ci": [round(end, 3) for end in one.ci]}


def table(found: Mapping[str, Pointed], seed: int) -> dict[str, Any]:
    """Return each concept's scores with intervals, and by how much the concept map leads."""
    out = {}
    for concept, one in found.items():
        rows: dict[str, Any] = {"studies": one.studies, "area": round(one.area, 4)}
        for measure, scores in one.scores.items():
            estimates = compare_maps(scores, one.patients, seed=seed)
            rows[measure] = {name: printed(value) for name, value in estimates.items()}
            rows[f"{measure} lead"] = {
                name: printed(estimates[OURS].minus(value)) for name, value in estimates.items() if name != OURS
            }
        out[concept] = rows
    return out


def means(found: Mapping[str, Pointed], concepts: Sequence[str], seed: int) -> dict[str, Any]:
    """Return means over concepts, and by how much the concept map leads."""
    out: dict[str, Any] = {"concepts": [one for one in concepts if one in found]}
    for measure in ("pointing", "overlap", "mass_ratio"):
        estimates = summary(found, measure, concepts, seed=seed)
        out[measure] = {name: printed(one) for name, one in estimates.items()}
        out[f"{measure} lead"] = {
            name: printed(estimates[OURS].minus(one)) for name, one in estimates.items() if name != OURS
        }
    return out


def draw_figure(setting: Setting, maps: Mapping[str, Shown], concepts: Sequence[str], path: Path) -> None:
    """Draw one study a concept, the first that shows it: film with its mask, then each kind of map."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = [OURS, "M10 as published", "concept gradient", "gradient", "Grad-CAM"]
    figure, axes = plt.subplots(
        len(concepts), len(kinds) + 1, figsize=(2.1 * (len(kinds) + 1), 2.2 * len(concepts)), squeeze=False
    )
    for axis, kind in zip(axes[0], ["film", *kinds], strict=True):
        axis.set_title(kind, fontsize=9)
    for row, concept in zip(axes, concepts, strict=True):
        places, masks = setting.drawn.masks(concept, setting.rows)
        film = setting.drawn.images[setting.rows[places[0]]]
        for axis, kind in zip(row, ["film", *kinds], strict=True):
            axis.imshow(film, cmap="gray", vmin=0, vmax=1)
            shown = None if kind == "film" else maps[kind].of(concept, places[:1])
            if shown is not None:
                seen = np.maximum(upsampled(shown, film.shape)[0], 0)
                axis.imshow(seen, cmap="inferno", alpha=0.55)
                top = np.unravel_index(seen.argmax(), seen.shape)
                axis.plot(top[1], top[0], "c+", markersize=9, markeredgewidth=2)
            axis.contour(masks[0], [0.5], colors="lime", linewidths=1)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(concept.replace("_", " "), fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def run(plan: PointingPlan, cache: Path, workers: int, figure: Path | None) -> dict[str, Any]:
    """Measure everything; see the module."""
    encoder = open_encoder()
    if not isinstance(encoder, OpenClipEncoder):
        raise TypeError("The shipped phantom encoder is an open_clip model")
    bank = build_bank()
    last, third = (
        prepare(plan, encoder, bank, cache, stage=stage, workers=workers, progress=print) for stage in (0, 3)
    )
    maps, records = all_maps(last, third, plan.seed)
    found = point(third, maps, REGION_CONCEPTS)
    if figure is not None:
        shown = ("focal_opacity", "meniscus_sign", "visceral_pleural_line", "perihilar_haze", "rounded_opacity")
        draw_figure(third, maps, [one for one in shown if one in found], figure)
    return {
        "plan": vars(plan),
        "test_studies": len(third.test),
        "patients": len(set(third.test.patients)),
        "fits": records,
        "mean of findings": means(found, tuple(FINDING_OF), plan.seed),
        "mean of findings without a fixed place": means(found, WANDERING, plan.seed),
        "devices": [one for one in DEVICES if one in found],
        "concepts": table(found, plan.seed),
    }


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="keep renders in this folder")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--figure", type=Path, help="draw example maps here (PNG)")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--seed", type=int, default=PointingPlan.seed, help="another one draws other patients")
    arguments = parser.parse_args()
    plan = PointingPlan(seed=arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        result = run(plan, arguments.cache or Path(scratch), arguments.workers, arguments.figure)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
