"""Image-report pairs from randomised phantom sites: what the shipped encoder is trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.encoders.preprocess import Preprocess
from osler_knowledge.annotate import annotate
from osler_knowledge.bank import ConceptBank
from osler_training.phantom.digest import phantom_digest
from osler_training.phantom.nuisance import TRAINING_NUISANCES
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.report import STYLES, write_report
from osler_training.phantom.sites import random_site
from osler_training.phantom.study import render_study

# Every other study carries one of the nuisances that training may see; the held-out ones never occur here.
SHARE_WITH_NUISANCE = 0.5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Pairs:
    """Images with the reports of each.

    Attributes:
        images: (N, side, side) 8-bit grey.
        reports: Several wordings a study (N, wordings), in the styles of different sites.
    """

    images: NDArray[np.uint8]
    reports: list[list[str]]


def render_pairs(
    count: int, *, seed: int, render_size: int, side: int, wordings: int, cache: Path, workers: int, progress: Progress
) -> Pairs:
    """Render pairs, or read them from an earlier call with the same settings.

    Args:
        count: Number of pairs.
        seed: Seed of everything.
        render_size: Pixels at which a phantom is rendered.
        side: Pixels of the stored image.
        wordings: Reports a study.
        cache: Folder to keep them in.
        workers: Processes.
        progress: Receives a line every thousand pairs.
    """
    settings = [count, seed, render_size, side, wordings, phantom_digest()]
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    stored = cache / f"pairs-{name}.npy", cache / f"pairs-{name}.json"
    if all(path.is_file() for path in stored):
        return Pairs(np.load(stored[0]), json.loads(stored[1].read_text(encoding="utf-8")))
    render = partial(_pair, seed=seed, render_size=render_size, side=side, wordings=wordings)
    images, reports = [], []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number, (image, texts) in enumerate(pool.map(render, range(count), chunksize=32), start=1):
            images.append(image)
            reports.append(texts)
            if number % 1000 == 0:
                progress(f"rendered {number} of {count} pairs")
    cache.mkdir(parents=True, exist_ok=True)
    np.save(stored[0], np.stack(images))
    stored[1].write_text(json.dumps(reports), encoding="utf-8")
    return Pairs(np.stack(images), reports)


def _pair(number: int, *, seed: int, render_size: int, side: int, wordings: int) -> tuple[NDArray[np.uint8], list[str]]:
    rng = np.random.default_rng([seed, number])
    nuisance = None
    if rng.random() < SHARE_WITH_NUISANCE:
        nuisance = TRAINING_NUISANCES[int(rng.integers(len(TRAINING_NUISANCES)))].name
    plan = StudyPlan(number, 0, DIAGNOSES[number % len(DIAGNOSES)], nuisance, seed)
    study = render_study(plan, random_site(rng), render_size, skip_report=True)
    texts = [write_report(study.spec, study.concepts, str(rng.choice(list(STYLES))), rng) for _ in range(wordings)]
    small = Preprocess(side).resized(study.image)
    return np.rint(small * 255).astype(np.uint8), texts


def statements(reports: list[list[str]], bank: ConceptBank) -> NDArray[np.int8]:
    """Return which concepts the first report of each study states (N, C), read from the text alone."""
    mentions = annotate([texts[0] for texts in reports], bank)
    stated = [[one in found and found[one].state != "absent" for one in bank.ids] for found in mentions]
    return np.array(stated, np.int8)
