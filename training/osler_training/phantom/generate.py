"""A whole phantom hospital on disk: DICOM files in folders by study, with tables of labels and of truth beside them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.phantom.anatomy import grid_mm
from osler_training.phantom.dicom import Film, film_dataset, to_bytes
from osler_training.phantom.identity import identity_of
from osler_training.phantom.lateral import project_lateral
from osler_training.phantom.marks import film_marks
from osler_training.phantom.parameters import CONCEPTS
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.seeds import stream
from osler_training.phantom.sites import SiteProfile, site_named
from osler_training.phantom.spoil import SPOILS, instance_uid
from osler_training.phantom.study import PhantomStudy, render_study

Row = dict[str, Any]
Progress = Callable[[int, int], None]
_CONCEPT_COLUMNS = tuple(f"concept_{name}" for name in CONCEPTS)
LABEL_COLUMNS = ("study_instance_uid", "phantom", "diagnosis", "nuisance", *_CONCEPT_COLUMNS, "report")
TRUTH_COLUMNS = (
    "file",
    "study_instance_uid",
    "sop_instance_uid",
    "patient_id",
    "site",
    "diagnosis",
    "view",
    "nuisance",
    "cardiothoracic_ratio",
    "spoil",
    "expected_outcome",
    "expected_code",
    *_CONCEPT_COLUMNS,
)
Task = TypeVar("Task")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class GeneratedSite:
    """What was written.

    Attributes:
        folder: DICOM files and nothing else, `study-000001/image-1.dcm` and so on.
        labels: Table with a row a study, as `osler ingest --labels` reads it.
        truth: Table with a row a file: what it shows, and what ingestion must make of it.
        studies: Number of studies.
        files: Number of files, spoiled ones included.
        spoiled: Number of spoiled files.
    """

    folder: Path
    labels: Path
    truth: Path
    studies: int
    files: int
    spoiled: int


@dataclass(frozen=True)
class _Task:
    plan: StudyPlan
    site: SiteProfile
    name: str


def generate_site(
    site: str | SiteProfile | Sequence[SiteProfile],
    plans: Sequence[StudyPlan],
    folder: Path,
    *,
    size: int = 512,
    workers: int = 2,
    spoil: float = 0.0,
    seed: int,
    progress: Progress | None = None,
) -> GeneratedSite:
    """Write a phantom hospital: `folder`, and beside it `folder`.labels.csv and `folder`.truth.csv.

    Args:
        site: A profile, its name, or several profiles (`reference`) of which each patient gets one.
        plans: The studies.
        folder: A new or empty folder.
        size: Rows and columns of the films.
        workers: Processes; 0 works in this one.
        spoil: Spoiled files for each sound one, added in folders of their own.
        seed: Seed of the choice of what is spoiled and how.
        progress: Called with the number of studies done and of all.

    Raises:
        OslerError: `workspace-occupied` for a folder or tables that exist already; `usage` for an unknown site or figures
            out of range.
    """
    profiles = _profiles(site)
    labels, truth = (folder.with_name(f"{folder.name}.{kind}.csv") for kind in ("labels", "truth"))
    _check(folder, (labels, truth), size, spoil)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        _Task(plan, profiles[plan.patient % len(profiles)], f"study-{number:06d}")
        for number, plan in enumerate(plans, 1)
    ]
    films, notes = [], []
    for number, (label, rows) in enumerate(_each(partial(_write_study, folder=folder, size=size), tasks, workers), 1):
        notes.append(label)
        films += rows
        if progress:
            progress(number, len(tasks))
    chosen = _choose(films, round(spoil * len(films)), len(tasks), seed)
    spoiled = list(_each(partial(_write_spoiled, folder=folder), chosen, workers))
    _write_table(labels, LABEL_COLUMNS, notes)
    _write_table(truth, TRUTH_COLUMNS, films + spoiled)
    return GeneratedSite(folder, labels, truth, len(plans), len(films) + len(spoiled), len(spoiled))


def _each(work: Callable[[Task], Answer], tasks: Sequence[Task], workers: int) -> Iterator[Answer]:
    if workers == 0 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, tasks, chunksize=max(1, min(8, len(tasks) // workers)))


def _write_study(task: _Task, *, folder: Path, size: int) -> tuple[Row, list[Row]]:
    """Write the films of a study; return its row of labels and its rows of truth."""
    plan, site = task.plan, task.site
    study = render_study(plan, site, size)
    identity = identity_of(plan, site, study.spec.patient)
    shown: Row = {
        "diagnosis": plan.diagnosis,
        "nuisance": plan.nuisance or "",
        **{f"concept_{name}": value for name, value in study.concepts.items()},
    }
    rows = []
    (folder / task.name).mkdir()
    for film in _films(study, plan, site, size):
        dataset = film_dataset(film, plan, site, identity)
        file = f"{task.name}/image-{film.number}.dcm"
        (folder / file).write_bytes(to_bytes(dataset))
        rows.append(
            shown
            | {
                "file": file,
                "study_instance_uid": dataset.StudyInstanceUID,
                "sop_instance_uid": dataset.SOPInstanceUID,
                "patient_id": identity.number,
                "site": site.name,
                "view": film.view,
                "cardiothoracic_ratio": f"{study.cardiothoracic_ratio:.4f}",
                "expected_outcome": "accepted",
            }
        )
    note = {"study_instance_uid": rows[0]["study_instance_uid"], "phantom": "yes", "report": study.report}
    return shown | note, rows


def _films(study: PhantomStudy, plan: StudyPlan, site: SiteProfile, size: int) -> Iterator[Film]:
    """Yield the frontal film, and at the site's rates its repetition and a lateral film."""
    yield Film(study.stored, study.view, study.spacing_mm, 1)
    more = stream(plan, site, "more films").random(2)
    if more[0] < site.share_two_frontals:
        again = render_study(plan, site, size, skip_report=True, exposure=1)
        yield Film(again.stored, again.view, again.spacing_mm, 2)
    if more[1] < site.share_lateral:
        rng = stream(plan, site, "lateral")
        seen = project_lateral(study.spec, size, rng, scatter=site.scatter, photons=site.photons)
        marked = film_marks(site, seen, *grid_mm(size), rng)
        yield Film(site.to_stored(marked), "LL", study.spacing_mm, 3)


def _choose(films: Sequence[Row], count: int, studies: int, seed: int) -> list[tuple[Row, int, str, int]]:
    """Choose what is spoiled: every way in turn, sources at random; their folders come after all sound ones."""
    rng = np.random.default_rng([seed, 0x5B01])
    return [
        (
            films[int(rng.integers(len(films)))],
            index % len(SPOILS),
            f"study-{studies + 1 + index:06d}/image-1.dcm",
            seed,
        )
        for index in range(count)
    ]


def _write_spoiled(chosen: tuple[Row, int, str, int], *, folder: Path) -> Row:
    source, way, file, seed = chosen
    spoil = SPOILS[way]
    rng = np.random.default_rng([seed, int(file[6:12])])
    content = spoil.apply((folder / source["file"]).read_bytes(), rng)
    (folder / file).parent.mkdir()
    (folder / file).write_bytes(content)
    return source | {
        "file": file,
        "sop_instance_uid": instance_uid(content),
        "spoil": spoil.name,
        "expected_outcome": spoil.outcome,
        "expected_code": str(spoil.code),
    }


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _profiles(site: str | SiteProfile | Sequence[SiteProfile]) -> Sequence[SiteProfile]:
    if isinstance(site, str):
        return site_named(site)
    return [site] if isinstance(site, SiteProfile) else site


def _check(folder: Path, tables: Sequence[Path], size: int, spoil: float) -> None:
    occupied = [path for path in tables if path.exists()]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        occupied.insert(0, folder)
    if occupied:
        raise OslerError(
            Code.WORKSPACE_OCCUPIED,
            f"{occupied[0]} exists already.",
            "Name a new folder, or remove the old one and its tables.",
        )
    if not 64 <= size <= 4096 or not 0 <= spoil <= 1:
        raise OslerError(
            Code.USAGE,
            f"Films of {size} pixels with a share of {spoil:g} spoiled cannot be made.",
            "The size is 64 to 4096, the share 0 to 1.",
        )
