"""Signed reviews as labels: tables that the training side reads, and labelled studies for an adapter.

A study's label is its result: the latest signed review, which names the one that it amends. Most readers agree with the
model that was on the screen when they signed: such labels are to fit on, never to measure that model by.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from osler.archive import Archive, StudyRecord
from osler.archive.label_column import class_of
from osler.feedback.review import Review
from osler.feedback.state import reviews_by_study
from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

IMAGE, PATIENT, LABEL = "image", "patient_id", "label"
COLUMNS: tuple[str, ...] = (IMAGE, PATIENT, "site", "view", LABEL, "study_uid", "readers", "own_finding")
COLUMNS += ("model", "bank", "patch", "saved")
ANSWERS: tuple[str, ...] = ("study_uid", PATIENT, "site", "reader", "concept", "answer", "shown", "present", "signed")
ANSWERS += ("model", "bank", "patch", "saved")
SUFFIXES = {"concepts": "-concepts.csv", "answers": "-answers.csv"}


@dataclass(frozen=True)
class Label:
    """What is known of one study from the reviews.

    Attributes:
        review: The result: the latest signed review.
        readers: How many readers signed.
        concepts: Present or absent, by concept, of those that the result speaks of.
    """

    review: Review
    readers: int
    concepts: dict[str, bool] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Whether the reader named a finding, or changed a concept; otherwise the model's was accepted."""
        return bool(self.review.finding) or bool(self.review.corrections)


def labels(workspace: Workspace) -> dict[str, Label]:
    """Return the label of every signed study. Each signed review amends the one before it, so the latest is the result."""
    found = {}
    for study, held in reviews_by_study(workspace).items():
        if held.result is not None:
            told = {concept: held.result.says(concept) for concept in held.result.answers}
            known = {concept: present for concept, present in told.items() if present is not None}
            found[study] = Label(held.result, len({one.reviewer for one in held.signed}), known)
    return found


def findings_at(workspace: Workspace, archive: Archive, site: str, classes: Sequence[str]) -> dict[str, str]:
    """Return the class by study of a site, as it was signed: labelled studies for an adapter.

    Raises:
        OslerError: `nothing-eligible` where nobody signed a study of the site that is of one of the classes.
    """
    signed = labels(workspace)
    places = {
        study.uid: class_of(signed[study.uid].review.concluded, classes, {})
        for study in archive.studies(site)
        if study.uid in signed
    }
    found = {uid: classes[place] for uid, place in places.items() if place >= 0}
    if not found:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"Nobody has signed a study of site {site!r} with a finding that the model knows.",
            "Sign some on the Study page, or give labels otherwise: see --support.",
        )
    return found


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        paths: The files: one row an image, its concepts, and every answer.
        studies: Signed studies in them.
        concepts: Concepts with a label.
        own: Studies whose reader named a finding or changed a concept.
        left_out: Signed studies that the archive no longer has, or that have no image.
    """

    paths: tuple[Path, ...]
    studies: int
    concepts: int
    own: int
    left_out: int


def export_labels(workspace: Workspace, out: Path, reviews: Iterable[Review]) -> Exported:
    """Write signed studies as tables that `dataset: any_csv` of a recipe reads with the workspace as its folder.

    Paths of images are relative to the workspace; patients and studies are pseudonyms; readers are numbered, and comments
    are left out, since either may name a person.

    Args:
        workspace: The workspace.
        out: The table; concepts and answers go beside it, as `NAME-concepts.csv` and `NAME-answers.csv`.
        reviews: Reviews whose answers are listed.

    Raises:
        OslerError: `nothing-eligible` where nothing is signed; `disk-full`, `unreadable`.
    """
    archive = Archive(workspace)
    studies = {study.uid: study for study in archive.studies()}
    signed = labels(workspace)
    rows = [(studies[uid], label) for uid, label in signed.items() if uid in studies]
    kept = [(study, label) for study, label in rows if archive.image(study) is not None]
    if not kept:
        raise OslerError(
            Code.NOTHING_ELIGIBLE, "No study with an image is signed.", "Sign some on the Study page first."
        )
    concepts = sorted({concept for _, label in kept for concept in label.concepts})
    images = [_image(archive, study) for study, _ in kept]
    tables = {
        out: [COLUMNS, *(_row(image, *one) for image, one in zip(images, kept, strict=True))],
        out.with_name(out.stem + SUFFIXES["concepts"]): [
            (IMAGE, *concepts),
            *(
                (image, *(_flag(label.concepts.get(one)) for one in concepts))
                for image, (_, label) in zip(images, kept, strict=True)
            ),
        ],
        out.with_name(out.stem + SUFFIXES["answers"]): [ANSWERS, *_answers(reviews, studies)],
    }
    try:
        for path, lines in tables.items():
            write_atomically(path, _csv(lines))
    except OSError as error:
        raise from_os_error(error) from error
    own = sum(label.own for _, label in kept)
    return Exported(tuple(tables), len(kept), len(concepts), own, len(signed) - len(kept))


def _image(archive: Archive, study: StudyRecord) -> str:
    instance = archive.image(study)
    assert instance is not None
    return os.path.relpath(instance.path, archive.workspace.root).replace(os.sep, "/")


def _row(image: str, study: StudyRecord, label: Label) -> tuple[str, ...]:
    review = label.review
    view = next((one.view for one in study.instances if image.endswith(one.path.name)), "")
    own = "yes" if label.own else "no"
    names = (image, study.patient, study.site, view, review.concluded, study.uid, str(label.readers), own)
    return (*names, review.model, review.bank, review.patch or "", review.saved)


def _answers(reviews: Iterable[Review], studies: dict[str, StudyRecord]) -> list[tuple[str, ...]]:
    numbers: dict[str, int] = {}
    lines: list[tuple[str, ...]] = []
    for one in reviews:
        study = studies.get(one.study)
        if study is None:
            continue
        reader = f"reader {numbers.setdefault(one.reviewer, len(numbers) + 1)}"
        for concept, answer in one.answers.items():
            said = (one.study, study.patient, study.site, reader, concept, str(answer), one.seen.get(concept, ""))
            signed = "yes" if one.signed else "no"
            lines.append((*said, _flag(one.says(concept)), signed, one.model, one.bank, one.patch or "", one.saved))
    return lines


def _flag(present: bool | None) -> str:
    return "" if present is None else str(int(present))


def _csv(lines: Iterable[Sequence[str]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue().encode()
