"""Do heat maps lie where the disease was drawn? Concept maps against gradient maps of a black box, on phantoms (M10, M18)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.encoders.stage import StageEncoder
from osler.bottleneck.records import Array, Features
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.localisation import located, mean_estimate, prior_hits
from osler_training.evaluate.saliency import (
    class_activation,
    concept_scores,
    gradients,
    integrated_gradients,
    smooth_gradients,
)
from osler_training.evaluate.splits import split_patients
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.network import NetworkClassifier, resize
from osler_training.fit.problem import Cohort, Problem
from osler_training.fit.report_labels import read_reference
from osler_training.phantom.digest import phantom_digest
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import StudyPlan, mixed_plan
from osler_training.phantom.regions import REGION_CONCEPTS, concept_regions
from osler_training.phantom.sites import HOSPITAL_A, REFERENCE_SITES, SiteProfile
from osler_training.phantom.study import render_study

SPLITS = {"train": 0.4, "select": 0.15, "calibrate": 0.15, "test": 0.3}


@dataclass(frozen=True)
class PointingPlan:
    """The size of the experiment; all eight diagnoses are classes, in equal parts, and nothing is confounded.

    Attributes:
        reference: Studies with reports at each of the four reference sites, where concepts are learned.
        studies: Studies of hospital A, split by patient.
        render_size: Rows and columns of the rendering.
        side: Rows and columns of images and masks; the encoder's.
        seed: Of everything.
    """

    reference: int = 500
    studies: int = 2000
    render_size: int = 256
    side: int = 128
    seed: int = 11


@dataclass(frozen=True)
class Drawn:
    """Rendered studies: images (n, S, S), reports (n,), patients (n,), and for each the mask (S, S) of its concepts.

    `key` names what was drawn.
    """

    images: NDArray[np.float32]
    reports: tuple[str, ...]
    diagnoses: tuple[str, ...]
    patients: tuple[str, ...]
    regions: tuple[dict[str, NDArray[np.bool_]], ...]
    key: str

    def masks(self, concept: str, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[NDArray[np.bool_]]]:
        """Return the places in `rows` of the studies that show a concept, and its masks there."""
        places = np.array([place for place, row in enumerate(rows) if concept in self.regions[row]], np.intp)
        return places, [self.regions[rows[place]][concept] for place in places]


def draw(plans: Sequence[tuple[StudyPlan, SiteProfile]], plan: PointingPlan, cache: Path, *, workers: int = 1) -> Drawn:
    """Render studies with their masks, from the cache where it holds them."""
    said = [[asdict(one), site.name] for one, site in plans]
    record = {"phantom": phantom_digest(), "plans": said, "sizes": [plan.render_size, plan.side]}
    key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:24]
    path = cache / f"pointing-{key}.npz"
    if not path.is_file():
        one = partial(_draw_one, plan)
        if workers > 1:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                found = list(pool.map(one, plans, chunksize=16))
        else:
            found = [one(each) for each in plans]
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(
            scratch,
            images=np.stack([image for image, _, _ in found]),
            reports=np.array([report for _, report, _ in found]),
            regions=np.stack([regions for _, _, regions in found]),
        )
        os.replace(scratch, path)
    with np.load(path) as stored:
        shown = np.unpackbits(stored["regions"], axis=-1, count=plan.side**2).astype(bool)
        shown = shown.reshape(len(plans), len(REGION_CONCEPTS), plan.side, plan.side)
        regions = tuple(
            {name: mask for name, mask in zip(REGION_CONCEPTS, masks, strict=True) if mask.any()} for masks in shown
        )
        return Drawn(
            stored["images"].astype(np.float32),
            tuple(stored["reports"].tolist()),
            tuple(one.diagnosis for one, _ in plans),
            tuple(f"{site.name}-{one.patient}" for one, site in plans),
            regions,
            key,
        )


def encoded(drawn: Drawn, encoder: OpenClipEncoder | StageEncoder, cache: Path) -> Features:
    """Return features with tokens, from the cache where it holds them; tokens are kept in half precision, on disk and here."""
    path = cache / f"pointing-{drawn.key}-{encoder.digest[:16]}.npz"
    if not path.is_file():
        features = encoder.encode(list(drawn.images), tokens=True)
        if features.tokens is None:
            raise ValueError("The encoder gives no tokens")
        scratch = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(scratch, pooled=features.pooled, tokens=features.tokens.astype(np.float16))
        os.replace(scratch, path)
    with np.load(path) as stored:
        return Features(stored["pooled"], stored["tokens"].astype(np.float32), encoder.grid)


def _draw_one(
    plan: PointingPlan, each: tuple[StudyPlan, SiteProfile]
) -> tuple[NDArray[np.float16], str, NDArray[np.uint8]]:
    study = render_study(*each, plan.render_size)
    found = concept_regions(study.spec, study.concepts, study.masks, plan.side)
    empty = np.zeros((plan.side, plan.side), bool)
    packed = np.stack([np.packbits(found.get(name, empty)) for name in REGION_CONCEPTS])
    return Preprocess(plan.side).resized(study.image).astype(np.float16), study.report, packed


@dataclass(frozen=True)
class Setting:
    """A problem whose features have tokens, and test studies with masks.

    Attributes:
        problem: What methods learn from.
        test: The test studies.
        drawn: All studies of hospital A.
        rows: Where the test studies stand in `drawn`.
        encoder: The open_clip encoder below the tokens.
    """

    problem: Problem
    test: Cohort
    drawn: Drawn
    rows: NDArray[np.intp]
    encoder: OpenClipEncoder


def prepare(
    plan: PointingPlan,
    encoder: OpenClipEncoder,
    bank: ConceptBank,
    cache: Path,
    *,
    stage: int = 3,
    workers: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> Setting:
    """Render, encode and split; tokens are those of a stage of the encoder, 0 for its own last ones."""
    referred = draw(
        [(one, site) for site in REFERENCE_SITES for one in mixed_plan(plan.reference, DIAGNOSES, plan.seed - 4)],
        plan,
        cache,
        workers=workers,
    )
    drawn = draw(
        [(one, HOSPITAL_A) for one in mixed_plan(plan.studies, DIAGNOSES, plan.seed)], plan, cache, workers=workers
    )
    progress(f"rendered {len(referred.images)} reference studies and {len(drawn.images)} of hospital A")
    reader = StageEncoder(encoder, stage) if stage else encoder
    seen, features = (encoded(one, reader, cache) for one in (referred, drawn))
    reference = read_reference(seen, referred.reports, referred.patients, bank, DIAGNOSES)
    y = np.array([DIAGNOSES.index(one) for one in drawn.diagnoses])
    everyone = Cohort(features, y, drawn.patients, drawn.images)
    progress("encoded them")
    splits = split_patients(drawn.patients, y, SPLITS, seed=plan.seed)
    parts = {name: everyone.rows(splits.rows[name]) for name in SPLITS}
    problem = Problem(DIAGNOSES, parts["train"], parts["select"], parts["calibrate"], reference, bank, reader)
    return Setting(problem, parts["test"], drawn, splits.rows["test"], encoder)


@dataclass(frozen=True)
class Shown:
    """One kind of map: by concept of the test studies that show it, or by test study where it knows no concepts.

    Attributes:
        maps: Maps (n, C, h, w) over the test studies, C = 1 where every concept gets the same map.
        ids: The concepts, in the order of the maps; empty where every concept gets the same map.
    """

    maps: Array
    ids: tuple[str, ...] = ()

    def of(self, concept: str, places: NDArray[np.intp]) -> Array | None:
        """Return the maps (m, h, w) of a concept for some studies; None where it was not learned."""
        if self.ids and concept not in self.ids:
            return None
        return np.asarray(self.maps[places, self.ids.index(concept) if self.ids else 0])


def concept_maps(classifier: BottleneckClassifier, test: Cohort) -> Shown:
    """Return a bottleneck's maps of the test studies."""
    pipeline = classifier.pipeline
    state = pipeline.scorer.score(test.features, pipeline.bank)
    if state.maps is None:
        raise ValueError("The features have no tokens")
    return Shown(state.maps[:, 0], pipeline.bank.ids)


def concept_gradients(classifier: BottleneckClassifier, setting: Setting, concepts: Sequence[str]) -> Shown:
    """Return gradients of the concept scores of a logistic bottleneck with respect to pixels, for the concepts shown."""
    scorer: Any = classifier.pipeline.scorer
    ids = tuple(one for one in concepts if one in scorer.ids)
    if setting.test.images is None:
        raise ValueError("Gradients need images")
    score = concept_scores(setting.encoder, scorer.weights, scorer.intercept)
    side = setting.test.images.shape[1:]
    maps = np.zeros((len(setting.test), len(ids), *side), np.float32)
    for c, concept in enumerate(ids):
        places, _ = setting.drawn.masks(concept, setting.rows)
        if len(places):
            maps[places, c] = gradients(score, setting.test.images[places], [scorer.ids.index(concept)] * len(places))
    return Shown(maps, ids)


def class_maps(classifier: NetworkClassifier, test: Cohort) -> dict[str, Shown]:
    """Return what a network looked at for the class that it predicts, by four methods."""
    if test.images is None:
        raise ValueError("Gradients need images")
    network: Any = classifier.network
    pixels = resize(test.images, classifier.side)[:, 0].numpy()
    target = classifier.probabilities(test).argmax(1).tolist()

    def score(x: Tensor) -> Tensor:
        found: Tensor = network(x.expand(-1, 3, -1, -1))
        return found

    class _Grey(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return score(x)

    found = {
        "gradient": gradients(score, pixels, target),
        "smooth gradient": smooth_gradients(score, pixels, target, draws=8),
        "integrated gradients": np.maximum(integrated_gradients(score, pixels, target, steps=12), 0),
        "Grad-CAM": class_activation(_Grey(), network.body._conv_head, pixels, target),
    }
    return {name: Shown(maps[:, None]) for name, maps in found.items()}


@dataclass(frozen=True)
class Pointed:
    """How the maps of one concept did: studies, chance, and each measure by kind of map.

    Attributes:
        studies: Test studies that show the concept.
        area: Mean share of the image that its masks take up: chance without any knowledge.
        scores: By measure (pointing, overlap, mass_ratio) and kind of map, the score of each study (n,).
        patients: Their pseudonyms.
    """

    studies: int
    area: float
    scores: dict[str, dict[str, Array]]
    patients: tuple[str, ...]


def point(
    setting: Setting, kinds: Mapping[str, Shown], concepts: Sequence[str], *, least: int = 10
) -> dict[str, Pointed]:
    """Measure every kind of map at every concept that `least` test studies show and that all kinds have."""
    found = {}
    for concept in concepts:
        places, masks = setting.drawn.masks(concept, setting.rows)
        maps = {name: shown.of(concept, places) for name, shown in kinds.items()}
        if len(places) < least or any(one is None for one in maps.values()):
            continue
        patients = tuple(setting.test.patients[place] for place in places)
        scores: dict[str, dict[str, Array]] = {}
        for name, one in maps.items():
            if one is not None:
                for measure, values in located(one, masks).items():
                    scores.setdefault(measure, {})[name] = values
        area = np.array([mask.mean() for mask in masks])
        scores["pointing"] |= {"chance by area": area, "chance by place": prior_hits(masks, patients)}
        found[concept] = Pointed(len(places), float(area.mean()), scores, patients)
    return found


def summary(
    found: Mapping[str, Pointed], measure: str, concepts: Sequence[str], *, seed: int = 0
) -> dict[str, Estimate]:
    """Return the mean over concepts of each kind's mean score, with replicates that draw patients once for all concepts."""
    used = [found[one] for one in concepts if one in found]
    names = sorted({patient for one in used for patient in one.patients})
    drawn = patient_weights(names, seed=seed)
    at = {name: place for place, name in enumerate(names)}
    out = {}
    for kind in used[0].scores[measure]:
        each = [
            mean_estimate(one.scores[measure][kind], drawn[:, [at[patient] for patient in one.patients]])
            for one in used
        ]
        replicates = np.mean([one.replicates for one in each], axis=0)
        out[kind] = Estimate(float(np.mean([one.value for one in each])), replicates)
    return out
