"""Is what an explanation shows true? Phantoms with drawn truth, and the existence score on real cells and skin (M18).

    python training/benchmarks/explanations.py phantoms [--cache FOLDER] [--json FILE] [--seeds N ...]
    python training/benchmarks/explanations.py cells|skin ../shared/data [--cache FOLDER] [--json FILE]

Phantoms: of the first five concepts that an explanation shows, those marked present are held against what was drawn, and the
maps that are shown against the masks (pointing game). From which probability a concept is marked, and whose maps are shown,
was decided on the select and calibrate parts; figures are of the test part, of other patients. A map of a concept that is not
there counts as a miss. Intervals are of a bootstrap over patients.

Cells and skin: share of the concepts contributing most to the predicted class that annotators saw in the image, beside what
concepts drawn among those speaking for the class would reach (chance), and the best possible (oracle).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cells import SEED, SOURCE, Site, problem_of, read
from numpy.typing import NDArray

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.stage import StageEncoder
from osler.bottleneck.feature_cache import FeatureCache, stacked
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler_knowledge.propose import build_bank
from osler_training.datasets import open_dataset
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.explanations import Seen, Shown, read_shown, truth_of, validate
from osler_training.evaluate.importance import ConceptExistence
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.explained import drawn_truth
from osler_training.experiments.pointing import SPLITS, PointingPlan, Setting, draw, encoded, prepare
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Classifier, Cohort, Problem, Reference
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import mixed_plan
from osler_training.phantom.sites import HOSPITAL_A

FRESH = 5_000_000  # from the seed: patients of no other plan
METHODS = {"spatial": 3, "bottleneck_prior": 0}  # and the stage of the encoder whose tokens maps are of, 0 for its last


def printed(one: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    return {"value": round(one.value, 3), "ci": [round(end, 3) for end in one.ci]}


def parts_of(setting: Setting, truth: list[dict[str, int]], ids: tuple[str, ...], seed: int) -> dict[str, Seen]:
    """Return the part to decide on (select and calibrate) and the part to report, with their truths and masks."""
    y = np.array([DIAGNOSES.index(one) for one in setting.drawn.diagnoses])
    rows = split_patients(setting.drawn.patients, y, SPLITS, seed=seed).rows
    chosen: dict[str, tuple[NDArray[np.intp], list[Any]]] = {
        "decide": (
            np.concatenate([rows["select"], rows["calibrate"]]),
            [setting.problem.select.features, setting.problem.calibrate.features],
        ),
        "test": (rows["test"], [setting.test.features]),
    }
    return {name: _seen(setting, truth, ids, *one) for name, one in chosen.items()}


def _seen(
    setting: Setting, truth: list[dict[str, int]], ids: tuple[str, ...], rows: NDArray[np.intp], features: list[Any]
) -> Seen:
    return Seen(
        stacked(features),
        truth_of([truth[row] for row in rows], ids),
        tuple(setting.drawn.patients[row] for row in rows),
        tuple(setting.drawn.regions[row] for row in rows),
    )


def table(found: Shown, patients: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Return what was shown and what of it is true."""
    return {
        "studies": len(patients),
        "called present": int(found.called.sum()),
        "studies with one": int((found.called > 0).sum()),
        "maps shown": int(found.maps.sum()),
        **{name: printed(one) for name, one in found.shares(patients, seed=seed).items()},
        "concepts": {one: {"called": n, "present": hits} for one, (n, hits) in sorted(found.concepts.items())},
        "mapped": {one: {"shown": n, "pointed": round(hits, 2)} for one, (n, hits) in sorted(found.mapped.items())},
    }


def phantoms(seeds: list[int], cache: Path, workers: int, fresh: int = 0) -> dict[str, Any]:
    """Measure phantoms; see the module."""
    encoder, bank, out = open_encoder(), build_bank(), {}
    if not isinstance(encoder, OpenClipEncoder):
        raise TypeError("The shipped phantom encoder is an open_clip model")
    for seed in seeds:
        plan = PointingPlan(seed=seed)
        truth = drawn_truth(mixed_plan(plan.studies, DIAGNOSES, plan.seed), HOSPITAL_A, plan.render_size)
        for method, stage in METHODS.items():
            setting = prepare(plan, encoder, bank, cache, stage=stage, workers=workers, progress=print)
            out[f"{method}, seed {seed}"] = _phantom(method, setting, truth, plan.seed, fresh, cache, workers)
            print(json.dumps({method: out[f"{method}, seed {seed}"]}), flush=True)
    return out


def _phantom(
    method: str, setting: Setting, truth: list[dict[str, int]], seed: int, fresh: int, cache: Path, workers: int
) -> dict[str, Any]:
    classifier = fit_method(method, setting.problem, {}, seed=seed)
    if not isinstance(classifier, BottleneckClassifier):
        raise TypeError(f"{method} is no bottleneck")
    pipeline = classifier.pipeline
    parts = parts_of(setting, truth, pipeline.bank.ids, seed)
    checked = validate(pipeline, parts["decide"], "held-out phantoms of hospital A")
    found = read_shown(pipeline, parts["test"], checked)
    again = fresh_studies(setting, pipeline.bank.ids, seed, fresh, cache, workers) if fresh else None
    more = {} if again is None else {"fresh": table(read_shown(pipeline, again, checked), again.patients, seed)}
    rules = {
        one: {
            "present from": check.present_from,
            "absent to": check.absent_to,
            "pointing": None if check.localisation is None else [check.localisation.value, check.localisation.low],
            "auroc": None if check.auroc is None else check.auroc.value,
        }
        for one, check in checked.concepts.items()
    }
    right = float((classifier.probabilities(setting.test).argmax(1) == setting.test.y).mean())
    return {"accuracy": round(right, 3), **table(found, parts["test"].patients, seed), **more, "rules": rules}


def fresh_studies(setting: Setting, ids: tuple[str, ...], seed: int, count: int, cache: Path, workers: int) -> Seen:
    """Return studies of hospital A that no part of a plan holds."""
    plans = mixed_plan(count, DIAGNOSES, seed + FRESH)
    plan = PointingPlan(seed=seed)
    drawn = draw([(one, HOSPITAL_A) for one in plans], plan, cache, workers=workers)
    reader = setting.problem.encoder
    if not isinstance(reader, OpenClipEncoder | StageEncoder):
        raise TypeError("The encoder gives no tokens")
    truth = drawn_truth(plans, HOSPITAL_A, plan.render_size)
    return Seen(encoded(drawn, reader, cache), truth_of(truth, ids), drawn.patients, drawn.regions)


def existence(
    weights: Array, values: Array, truth: Array, patients: tuple[str, ...], seed: int = SEED
) -> dict[str, Any]:
    """Return the existence score by number of concepts, with chance and oracle.

    Args:
        weights: Weights of the predicted class, of each image (n, C).
        values: Concept values (n, C).
        truth: What annotators saw (n, C) in {0, 1, NaN}.
        patients: Pseudonyms (n,).
        seed: Of the bootstrap.
    """
    found = ConceptExistence().compute(weights, values, truth, np.arange(len(values)), patients, seed=seed)
    return {"images": len(values), **{name: printed(one) for name, one in found.items()}}


def cells(folder: Path, cache: Path | None) -> dict[str, Any]:
    """Measure white cells of the source laboratory: fitted on its train part, decided on its val, reported on its test part."""
    sets = read(folder)
    source = sets[SOURCE]
    site, part = Site.of(source), source.table["part"].to_numpy(str)
    ids = tuple(source.concepts.columns)
    bank, out = build_bank(task="blood-cell").subset(ids), {}
    for method, name in {"measured": "white_cell_morphometry", "bottleneck_prior": "imagenet_lite0"}.items():
        encoder = open_encoder(name)
        features = site.features(encoder, cache)
        problem = problem_of(source, features, encoder, bank)
        pipeline = _pipeline(fit_method(method, problem, {}, seed=SEED))
        rows = np.flatnonzero((part == "test") & (site.y >= 0))
        columns = [ids.index(one) for one in pipeline.bank.ids]
        truth = source.concepts.to_numpy(float)[rows][:, columns]
        patients = tuple(source.patients[row] for row in rows)
        test = Seen(features.rows(rows), truth, patients)
        decide = [problem.select, problem.calibrate]
        known = np.concatenate([np.asarray(one.concepts) for one in decide])[
            :, [bank.ids.index(one) for one in pipeline.bank.ids]
        ]
        held = Seen(
            stacked([one.features for one in decide]), known, tuple(name for one in decide for name in one.patients)
        )
        output = pipeline.predict_features(test.features)
        weights = pipeline.head_weights()[output.logits.argmax(1)]
        shown = read_shown(pipeline, test, validate(pipeline, held, "held-out cells"))
        out[method] = existence(weights, output.state.static, truth, patients)
        out[method]["shown"] = {
            "called present": int(shown.called.sum()),
            "present": printed(shown.shares(patients, seed=SEED)["present"]),
        }
    return out


def skin(folder: Path, cache: Path | None, folds: int = 6) -> dict[str, Any]:
    """Measure PH2: each sixth is tested with concepts grounded on the others; the head is of HAM10000's Rosendahl source."""
    kinds = ("nevus", "melanoma")
    encoder = open_encoder("imagenet_lite0")
    options = {"label": "label_coarse"}
    ham = open_dataset("any_csv", folder / "skin_ham10000", **options)
    ham = ham.rows(np.flatnonzero(ham.table["source"].to_numpy(str) == "rosendahl"))
    ham = ham.rows(np.flatnonzero(np.isin(ham.table["label"].to_numpy(str), kinds)))
    annotated = open_dataset("any_csv", folder / "skin_ph2", **options, concepts_file="concepts.csv", concept_map="ph2")
    x, seen = (
        FeatureCache(cache, encoder).features(list(one.keys), one.load)
        if cache is not None
        else encoder.encode([one.load(n) for n in range(len(one))])
        for one in (ham, annotated)
    )
    y = np.array([kinds.index(one) for one in ham.table["label"].to_numpy(str)], np.intp)
    everyone = Cohort(x, y, tuple(ham.patients))
    rows = split_patients(everyone.patients, y, seed=SEED).rows
    train, select, calibrate = (everyone.rows(rows[one]) for one in ("train", "select", "calibrate"))
    bank = build_bank(task="dermoscopy")
    bank = bank.subset([one for one in bank.ids if one in annotated.concepts.columns])
    truth = annotated.concepts[list(bank.ids)].to_numpy(float)
    kept = [c for c, column in enumerate(truth.T) if 0 < np.nanmean(column) < 1]
    bank, truth = bank.subset([bank.ids[c] for c in kept]), truth[:, kept]
    label = annotated.table["label"].to_numpy(str)
    findings = (label[:, None] == np.array(kinds)).astype(float)
    fold = np.random.default_rng(SEED).permutation(len(annotated)) % folds
    weights, values = (np.full(truth.shape, np.nan) for _ in range(2))
    right = np.zeros(len(annotated), bool)
    for one in range(folds):
        learned, tested = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        names = tuple(annotated.patients[row] for row in learned)
        reference = Reference(seen.rows(learned), names, truth[learned], findings[learned])
        problem = Problem(kinds, train, select, calibrate, reference, bank, encoder)
        fitted = fit_method("bottleneck_prior", problem, {"grounding": {"held_out_least": 2}}, seed=SEED)
        pipeline = _pipeline(fitted)
        output = pipeline.predict_features(seen.rows(tested))
        places = [bank.ids.index(name) for name in pipeline.bank.ids]
        said = output.logits.argmax(1)
        right[tested] = label[tested] == np.array(kinds)[said]
        weights[tested[:, None], places] = pipeline.head_weights()[said]
        values[tested[:, None], places] = output.state.static
    missing = np.isnan(weights)
    known = np.where(missing, np.nan, truth)
    result = existence(np.where(missing, 0, weights), np.where(missing, 0, values), known, tuple(annotated.patients))
    return {"accuracy": round(float(right.mean()), 3), "concepts": list(bank.ids), **result}


def _pipeline(classifier: Classifier) -> Pipeline:
    if not isinstance(classifier, BottleneckClassifier):
        raise TypeError("The method makes no bottleneck")
    return classifier.pipeline


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("phantoms", "cells", "skin"))
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--cache", type=Path, help="keep renders and features in this folder")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[12], help="each draws other patients")
    parser.add_argument("--fresh", type=int, default=0, help="also report on so many phantoms drawn for this alone")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    arguments = parser.parse_args()
    if arguments.what != "phantoms" and arguments.data is None:
        parser.error("name the folder of the data sets")
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.what != "phantoms":
            result = {"cells": cells, "skin": skin}[arguments.what](arguments.data, arguments.cache)
        else:
            result = phantoms(arguments.seeds, arguments.cache or Path(scratch), arguments.workers, arguments.fresh)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
