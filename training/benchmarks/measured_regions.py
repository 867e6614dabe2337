"""Do measured lungs, hearts and lesions agree with what experts drew and saw? Real images, and phantoms of known anatomy.

    python training/benchmarks/measured_regions.py ../shared/data [--only skin|outlines|zones|phantom|speed] [--json FILE]

Nothing is trained. Skin: `lesion_morphometry` on all 200 images of PH2; Dice against the masks, and how well one measurement
each, named beforehand, tells an annotated concept (AUROC; the `train` part of PH2 was looked at when the rules of colour were
written, so the other parts are given apart). Chest: `chest_morphometry` on `chest_cohen`; Dice against the lung outlines, which
take in what the heart hides (the weights of the segmentation were set on 30 outlines of its `train` part and on phantoms;
overlays of all parts were seen before), and Spearman's correlation of the opacity of a zone with its Brixia score by the senior reader.
Phantoms: the cardiothoracic ratio and the costophrenic angles against the anatomy that was drawn. Intervals are of a bootstrap
over patients (PH2 names none: over images, too narrow).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata
from skimage.transform import resize

from osler.bottleneck.records import Array
from osler.morphometry import chest, chest_measurements, lesion, lesion_measurements
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.metrics import binary_auroc
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import site_named
from osler_training.phantom.study import PhantomStudy, render_study

SEED, REPLICATES, PHANTOMS, SIZE = 20, 1000, 60, 256
Names = Sequence[str] | NDArray[np.str_]
BRIXIA = dict(
    zip("ABCDEF", [f"opacity_{s}_{z}" for s in ("right", "left") for z in ("upper", "middle", "lower")], strict=True)
)
# Concept of PH2, when it counts as present, and the measurement that was made for it; minus where low speaks for it.
CONCEPTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "asymmetry": ("asymmetry", lambda one: one >= 1, "asymmetry_long_axis"),
    "atypical network": ("pigment_network", lambda one: one == "atypical", "network_deviation"),
    "dots or globules": ("dots_globules", lambda one: one != "absent", "dot_density"),
    "streaks": ("streaks", lambda one: one != "absent", "streak_texture"),
    "regression": ("regression_areas", lambda one: one != "absent", "regression_share"),
    "blue-whitish veil": ("blue_whitish_veil", lambda one: one != "absent", "blue_white_veil_share"),
    **{
        name: (f"colour_{name}", lambda one: one == 1, f"{name}_share")
        for name in ("white", "red", "light_brown", "dark_brown", "blue_gray", "black")
    },
}


def read(path: Path, mode: str = "RGB") -> Array:
    """Read an image in [0, 1]."""
    return np.asarray(Image.open(path).convert(mode), np.float64) / 255


def dice(ours: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient."""
    return float(2 * (ours & drawn).sum() / max(ours.sum() + drawn.sum(), 1))


def printed(one: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {"value": round(one.value, 3), "ci": [round(end, 3) for end in one.ci]}


def mean_of(values: Array, patients: Names) -> dict[str, Any]:
    """Return the mean with its interval."""
    weights = patient_weights([*patients], seed=SEED, replicates=REPLICATES)
    return {**printed(Estimate(float(values.mean()), weights @ values / weights.sum(1))), "images": len(values)}


def auroc_of(positive: NDArray[np.bool_], score: Array, patients: Names) -> dict[str, Any]:
    """Return the AUROC of a score with its interval; what was not measured takes the median."""
    score = np.where(np.isnan(score), np.nanmedian(score), score)
    weights = patient_weights([*patients], seed=SEED, replicates=REPLICATES)
    point = binary_auroc(positive, score, np.ones((1, len(score))))[0]
    replicates = binary_auroc(positive, score, weights)
    return {**printed(Estimate(float(point), replicates)), "positives": int(positive.sum()), "images": len(score)}


def spearman_of(x: Array, y: Array, patients: Names) -> dict[str, Any]:
    """Return Spearman's correlation of what was measured, with its interval; ranks are those of all images."""
    known = ~np.isnan(x) & ~np.isnan(y)
    ranks = rankdata(x[known]), rankdata(y[known])
    who = [one for one, there in zip(patients, known, strict=True) if there]
    weights = patient_weights(who, seed=SEED, replicates=REPLICATES)
    both = np.vstack([np.ones((1, len(who))), weights])
    both /= both.sum(1, keepdims=True)
    means = [both @ one for one in ranks]
    spread = [both @ one**2 - mean**2 for one, mean in zip(ranks, means, strict=True)]
    rho = (both @ (ranks[0] * ranks[1]) - means[0] * means[1]) / np.sqrt(spread[0] * spread[1])
    return {**printed(Estimate(float(rho[0]), rho[1:])), "images": int(known.sum())}


def skin(folder: Path) -> dict[str, Any]:
    """Score lesions on PH2."""
    table = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    concepts = pd.read_csv(folder / "concepts.csv").set_index("image").loc[table["image"]]
    scores, rows = [], []
    for name, mask in zip(table["image"], table["mask"], strict=True):
        image, drawn = read(folder / name), np.asarray(Image.open(folder / mask)) > 0
        found = lesion.segment(image)
        ours = np.zeros(drawn.shape, bool) if isinstance(found, lesion.NoLesion) else found.mask
        scores.append(dice(ours, drawn))
        rows.append(lesion_measurements.measured(found).values)
    values, who = pd.DataFrame(rows, columns=lesion_measurements.NAMES), table["image"].to_numpy(str)
    unseen = (table["split_hint"] != "train").to_numpy()
    result: dict[str, Any] = {
        "dice": mean_of(np.array(scores), who),
        "median_dice": round(float(np.median(scores)), 3),
        "unmeasured_share": round(float(values.isna().to_numpy().mean()), 4),
        "concepts": {},
    }
    for name, (column, present, measured) in CONCEPTS.items():
        truth, score = concepts[column].map(present).to_numpy(bool), values[measured].to_numpy(float)
        result["concepts"][name] = {
            "measurement": measured,
            "all": auroc_of(truth, score, who),
            "val and test parts": auroc_of(truth[unseen], score[unseen], who[unseen]),
        }
    counted = concepts.filter(like="colour_").to_numpy(float).sum(axis=1)
    result["colours counted, spearman"] = spearman_of(values["colour_count"].to_numpy(float), counted, who)
    return result


def cohen(folder: Path) -> pd.DataFrame:
    """Return the table of the Cohen collection; an image without a patient is its own."""
    table = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    table["patient_id"] = table["patient_id"].where(table["patient_id"] != "", table["image"])
    return table


def outlines(folder: Path) -> dict[str, Any]:
    """Score lungs against their outlines."""
    table = cohen(folder)
    outlined = table[table["lung_mask"] != ""]
    scores = []
    for name, mask in zip(outlined["image"], outlined["lung_mask"], strict=True):
        drawn, found = np.asarray(Image.open(folder / mask)) > 0, chest.segment(read(folder / name, "L"))
        ours = np.zeros(drawn.shape, bool)
        if isinstance(found, chest.Chest):
            ours = resize(found.spaces.any(axis=0).astype(float), drawn.shape) > 0.5
        scores.append(dice(ours, drawn))
    who = outlined["patient_id"].to_numpy(str)
    unseen = (outlined["split_hint"] != "train").to_numpy()
    values = np.array(scores)
    return {
        "dice": {"all": mean_of(values, who), "val and test parts": mean_of(values[unseen], who[unseen])},
        "median_dice": round(float(np.median(values)), 3),
        "below .7": int((values < 0.7).sum()),
    }


def zones(folder: Path) -> dict[str, Any]:
    """Score the opacity of zones against what readers gave."""
    table = cohen(folder)
    brixia = pd.read_csv(folder / "annotations_brixia.csv").set_index("image")
    severity = pd.read_csv(folder / "annotations_severity.csv").set_index("image")
    graded = table[table["image"].isin([*brixia.index, *severity.index])].set_index("image")
    result: dict[str, Any] = {}
    rows = [chest_measurements.measure(read(folder / name, "L")).values for name in graded.index]
    measured = pd.DataFrame(rows, columns=chest_measurements.NAMES, index=graded.index)
    result["unmeasured_share"] = round(float(measured.isna().to_numpy().mean()), 4)
    result["spearman"] = {
        f"Brixia {zone}, {name}": correlated(measured[name], brixia[f"S-{zone}"], graded)
        for zone, name in BRIXIA.items()
    }
    pooled = pd.concat([measured[name].rename_axis("image") for name in BRIXIA.values()])
    pooled_truth = pd.concat([brixia[f"S-{zone}"].reindex(measured.index) for zone in BRIXIA])
    pooled_who = [*graded["patient_id"]] * len(BRIXIA)
    result["spearman"]["Brixia, all zones pooled"] = spearman_of(
        pooled.to_numpy(float), pooled_truth.to_numpy(float), pooled_who
    )
    result["spearman"]["Brixia total, opacity_mean"] = correlated(measured["opacity_mean"], brixia["S-Global"], graded)
    result["spearman"]["severity of opacity, opacity_mean"] = correlated(
        measured["opacity_mean"], severity["opacity_mean"], graded
    )
    return result


def correlated(measured: pd.Series, seen: pd.Series, graded: pd.DataFrame) -> dict[str, Any]:
    """Return the correlation of a measurement with what a reader gave, over the images that have both."""
    truth = seen.reindex(measured.index).to_numpy(float)
    return spearman_of(measured.to_numpy(float), truth, graded["patient_id"].to_numpy(str))


def phantoms() -> dict[str, Any]:
    """Score heart and angles on phantoms of two hospitals."""
    result: dict[str, Any] = {}
    for name in ("hospital_a", "hospital_b"):
        site = site_named(name)[0]
        studies: list[PhantomStudy] = []
        rows = []
        for number in range(PHANTOMS):
            plan = StudyPlan(number, 0, DIAGNOSES[number % len(DIAGNOSES)], None, SEED)
            studies.append(render_study(plan, site, SIZE, skip_report=True))
            rows.append(chest_measurements.measure(studies[-1].image).values)
        values = pd.DataFrame(rows, columns=chest_measurements.NAMES)
        who = [str(number) for number in range(PHANTOMS)]
        angle = values[["costophrenic_angle_right", "costophrenic_angle_left"]].max(axis=1).to_numpy(float)
        ratio, truth = (
            values["cardiothoracic_ratio"].to_numpy(float),
            np.array([s.cardiothoracic_ratio for s in studies]),
        )
        result[name] = {
            "ratio, spearman": spearman_of(ratio, truth, who),
            "ratio, median error": round(float(np.nanmedian(ratio - truth)), 3),
            "enlarged heart, auroc": auroc_of(_seen(studies, "enlarged_cardiac_silhouette"), ratio, who),
            "blunted angle, auroc": auroc_of(_seen(studies, "blunted_costophrenic_angle"), angle, who),
            "not found": int(values.isna().all(axis=1).sum()),
        }
    return result


def _seen(studies: Sequence[PhantomStudy], concept: str) -> NDArray[np.bool_]:
    return np.array([bool(study.concepts[concept]) for study in studies])


def speed(folder: Path) -> dict[str, float]:
    """Return images measured per second, by this process alone."""
    rates = {}
    for name, mode, measure in (
        ("skin_ph2", "RGB", lesion_measurements.measure),
        ("chest_nih", "L", chest_measurements.measure),
    ):
        paths = sorted((folder / name / "images").iterdir())[:25]
        images = [read(path, mode) for path in paths]
        measure(images[0], None)
        start = time.process_time()
        for image in images:
            measure(image, None)
        rates[name] = round(len(images) / (time.process_time() - start), 2)
    return rates


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with skin_ph2, chest_cohen and chest_nih")
    parser.add_argument("--only", choices=("skin", "outlines", "zones", "phantom", "speed"))
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    tasks: dict[str, Callable[[], Any]] = {
        "skin": lambda: skin(arguments.folder / "skin_ph2"),
        "outlines": lambda: outlines(arguments.folder / "chest_cohen"),
        "zones": lambda: zones(arguments.folder / "chest_cohen"),
        "phantom": phantoms,
        "speed": lambda: speed(arguments.folder),
    }
    result = {name: task() for name, task in tasks.items() if arguments.only in (None, name)}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
