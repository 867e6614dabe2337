"""Phantoms rendered in memory at an encoder's size, kept on disk so that a sweep can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.encoders.preprocess import Preprocess
from osler_training.phantom.parameters import parameters_digest
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import SiteProfile
from osler_training.phantom.study import render_study


@dataclass(frozen=True)
class Renders:
    """Rendered studies.

    Attributes:
        images: (n, side, side) in [0, 1], dense bright.
        reports: Their reports (n,).
        key: SHA-256 of what they are renders of.
    """

    images: NDArray[np.float32]
    reports: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Renderer:
    """Renders plans of one site.

    Attributes:
        size: Rows and columns of the rendering.
        preprocess: Brings it to the encoder's size.
        cache: Folder for finished sets.
        workers: Processes.
    """

    size: int
    preprocess: Preprocess
    cache: Path
    workers: int = 1

    def __call__(self, plans: Sequence[StudyPlan], site: SiteProfile) -> Renders:
        """Return the renders of some plans, from the cache where it holds them."""
        key = self._key(plans, site)
        path = self.cache / f"{key}.npz"
        if not path.is_file():
            self._render(plans, site, path)
        with np.load(path) as stored:
            return Renders(stored["images"].astype(np.float32), tuple(stored["reports"].tolist()), key)

    def _render(self, plans: Sequence[StudyPlan], site: SiteProfile, path: Path) -> None:
        one = partial(_render_one, site, self.size, self.preprocess)
        if self.workers > 1:
            with ProcessPoolExecutor(self.workers, mp_context=get_context("spawn")) as pool:
                pairs = list(pool.map(one, plans, chunksize=16))
        else:
            pairs = [one(plan) for plan in plans]
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(
            scratch, images=np.stack([image for image, _ in pairs]), reports=np.array([r for _, r in pairs])
        )
        os.replace(scratch, path)

    def _key(self, plans: Sequence[StudyPlan], site: SiteProfile) -> str:
        """Name a set by its plans, and by its first image: another renderer gives another name."""
        first = _render_one(site, self.size, self.preprocess, plans[0])[0]
        record = {
            "parameters": parameters_digest(),
            "site": site.name,
            "plans": [asdict(plan) for plan in plans],
            "size": self.size,
            "resizing": self.preprocess.resizing(),
            "first": hashlib.sha256(first.tobytes()).hexdigest(),
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _render_one(
    site: SiteProfile, size: int, preprocess: Preprocess, plan: StudyPlan
) -> tuple[NDArray[np.float16], str]:
    study = render_study(plan, site, size)
    # Half precision keeps eleven bits, more than the displays that radiographs are read on.
    return preprocess.resized(study.image).astype(np.float16), study.report
