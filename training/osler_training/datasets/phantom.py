"""Phantom chest radiographs drawn when they are asked for, with a cause of shift planted in them; no archive is needed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from osler.bottleneck.feature_cache import image_key
from osler.bottleneck.records import Array
from osler_training.datasets.images import COLUMNS, Images
from osler_training.datasets.labels import one_hot
from osler_training.phantom.nuisance import nuisance_named
from osler_training.phantom.parameters import CONCEPTS, parameters_digest
from osler_training.phantom.plan import StudyPlan, confounded_plan, mixed_plan
from osler_training.phantom.seeds import stream
from osler_training.phantom.sites import SiteProfile, site_named
from osler_training.phantom.study import render_study

SUMMARY = "phantom radiographs with a planted cause of shift"
LINE_MARKER = "line_marker"
LINE = (
    (-46.0, 4.0),
    (-40.0, 40.0),
    (-32.0, 75.0),
    (-26.0, 110.0),
    (-22.0, 140.0),
    (-20.0, 170.0),
)  # mm, as a line lies
LINE_WIDTH_MM, LINE_LIGHT = 1.6, 0.16  # brighter than a line of plastic, so that nobody overlooks it
FIELD_MM = 400.0
IMAGES, KNOWN = "images.npy", "known.npz"
VERSION = 1  # raise it where images change


@dataclass(frozen=True)
class Look:
    """How images are changed after they were drawn: `clip(gain * x ** gamma)` of the displayed fraction.

    Attributes:
        gain: Factor.
        gamma: Exponent; above 1 darkens.
    """

    gain: float = 1.0
    gamma: float = 1.0

    def __call__(self, image: Array) -> Array:
        """Return the image (S, S) as the site shows it."""
        return np.asarray(np.clip(self.gain * image**self.gamma, 0, 1))


def read(
    root: Path,
    *,
    profile: str = "hospital_a",
    studies: Annotated[int, Field(ge=1)] = 200,
    seed: int = 0,
    classes: tuple[str, ...] = ("heart_failure", "pneumonia"),
    nuisance: str | None = None,
    confounding: float = 0.0,
    reversed: bool = False,
    marker_is_line: bool = False,
    portable: Annotated[float, Field(ge=0, le=1)] | None = None,
    gain: Annotated[float, Field(gt=0)] = 1.0,
    gamma: Annotated[float, Field(gt=0)] = 1.0,
    size: Annotated[int, Field(ge=64)] = 256,
    workers: Annotated[int, Field(ge=1)] = 2,
) -> Images:
    """Draw a site, or read what was drawn before.

    Args:
        root: Folder of finished drawings, made where it is not there.
        profile: hospital_a, hospital_b or reference, whose studies come from four profiles in turn.
        studies: Number of studies.
        seed: Seed of the population: sites of one profile and seed share patients.
        classes: Diagnoses, in equal parts.
        nuisance: Name of a nuisance, or `line_marker`: a wire on the skin that looks like a central venous line and is none.
        confounding: How far it goes with the first class, 0 to 1; without it half of all studies have it.
        reversed: Whether it goes with the other classes instead.
        marker_is_line: Whether the `line_marker` is a central venous line here, as truth then says.
        portable: Share of films taken lying, from the front; the profile's where it is not given.
        gain: Factor of brightness.
        gamma: Exponent of brightness.
        size: Pixels along a side.
        workers: Processes that draw.

    Raises:
        OslerError: `usage` for an unknown profile, nuisance or diagnosis.
    """
    if nuisance not in (None, LINE_MARKER):
        nuisance_named(str(nuisance))
    profiles = tuple(one if portable is None else replace(one, share_portable=portable) for one in site_named(profile))
    if nuisance is None:
        plans = mixed_plan(studies, classes, seed)
    else:
        plans = confounded_plan(studies, classes, nuisance, confounding, reversed=reversed, seed=seed)
    drawn = _drawn(root, [(plan, profiles[place % len(profiles)]) for place, plan in enumerate(plans)], size, workers)
    # A drawing is kept as it is, and looked at by each site in its own way.
    look = {"key": drawn.key, "gain": gain, "gamma": gamma}
    named = hashlib.sha256(json.dumps(look, sort_keys=True).encode()).hexdigest()
    table = pd.DataFrame(
        {
            "key": [image_key(named, {"row": row}) for row in range(studies)],
            "path": "",
            "site": profile,
            "patient": [f"phantom:{profile}-{plan.seed}-{plan.patient}" for plan in plans],
            "patient_known": True,
            "label": [plan.diagnosis for plan in plans],
            "view": drawn.views,
            "sex": drawn.sexes,
            "age": drawn.ages,
            "part": "",
            "text": drawn.reports,
            "nuisance": [plan.nuisance or "" for plan in plans],
        }
    )
    concepts = pd.DataFrame(drawn.concepts, columns=list(CONCEPTS), dtype=float)
    if marker_is_line:
        concepts.loc[table["nuisance"] == LINE_MARKER, "central_venous_line"] = 1.0
    return Images(
        table=table[[*COLUMNS, "nuisance"]],
        concepts=concepts,
        findings=pd.DataFrame([one_hot(plan.diagnosis, classes) for plan in plans], columns=classes, dtype=float),
        load=partial(_load, drawn.images, Look(gain, gamma)),
    )


@dataclass(frozen=True, eq=False)
class Drawn:
    """Finished drawings: the file of images (n, S, S) in [0, 1] as displayed, and what is known of each."""

    images: Path
    concepts: NDArray[np.int8]
    reports: list[str]
    views: list[str]
    sexes: list[str]
    ages: NDArray[np.float64]
    key: str


def _load(images: Path, look: Look, row: int) -> Array:
    drawn = np.load(images, mmap_mode="r")[row]
    return look(drawn.astype(np.float32)).astype(np.float32)


def _drawn(root: Path, pairs: Sequence[tuple[StudyPlan, SiteProfile]], size: int, workers: int) -> Drawn:
    # Named by the first drawing too: another simulator gives another name, and one whose comments changed the same.
    first = hashlib.sha256(_study(size, pairs[0])["images"].tobytes()).hexdigest()
    record = [VERSION, first, parameters_digest(), size, [[asdict(plan), asdict(site)] for plan, site in pairs]]
    key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    folder = root / key
    if not folder.is_dir():
        _draw(folder, pairs, size, workers)
    with np.load(folder / KNOWN) as kept:
        texts = {name: kept[name].tolist() for name in ("reports", "views", "sexes")}
        return Drawn(folder / IMAGES, kept["concepts"], ages=kept["ages"], key=key, **texts)


def _draw(folder: Path, pairs: Sequence[tuple[StudyPlan, SiteProfile]], size: int, workers: int) -> None:
    one = partial(_study, size)
    if workers > 1 and len(pairs) > workers:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(one, pairs, chunksize=8))
    else:
        made = [one(pair) for pair in pairs]
    columns: dict[str, Any] = {name: np.array([each[name] for each in made]) for name in made[0]}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".drawing-") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        np.save(fresh / IMAGES, columns.pop("images"))
        np.savez(fresh / KNOWN, **columns)
        if not folder.exists():
            os.replace(fresh, folder)


def _study(size: int, pair: tuple[StudyPlan, SiteProfile]) -> dict[str, Any]:
    plan, site = pair
    marked = plan.nuisance == LINE_MARKER
    study = render_study(replace(plan, nuisance=None) if marked else plan, site, size)
    image = with_line_marker(study.image, stream(plan, site, LINE_MARKER)) if marked else study.image
    return {
        "images": image.astype(np.float16),
        "concepts": np.array([study.concepts[name] for name in CONCEPTS], np.int8),
        "reports": study.report,
        "views": study.view,
        "sexes": study.spec.patient.sex,
        "ages": float(study.spec.patient.age),
    }


def with_line_marker(image: Array, rng: np.random.Generator) -> Array:
    """Return an image (S, S) in [0, 1] with a wire where a central venous line would lie; it lies on the skin."""
    from scipy.ndimage import distance_transform_edt
    from skimage.draw import line

    side = len(image)
    points = (np.array(LINE) + rng.normal(0, 3, 2) + (FIELD_MM / 2, 0)) * side / FIELD_MM
    free = np.ones(image.shape, bool)
    for (x, y), (across, down) in pairwise(points):
        rows, columns = line(round(y), round(x), round(down), round(across))
        inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        free[rows[inside], columns[inside]] = False
    reach = distance_transform_edt(free) * FIELD_MM / side
    light = LINE_LIGHT * np.exp(-((reach / LINE_WIDTH_MM) ** 2))
    return np.asarray(np.clip(image + light, 0, 1), np.float32)
