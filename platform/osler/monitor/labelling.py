"""The list of studies of a site that are worth labelling next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch
from osler.adapt.support_store import SupportStore
from osler.archive.label_column import choose_column, class_of
from osler.drift.store import site_folder
from osler.explain.service import StudyExplainer
from osler.files import write_atomically
from osler.monitor.stream import Stream, read_stream
from osler.monitor.suggest import POOL, Choice, suggest
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class Suggestion:
    """A study to label.

    Attributes:
        study: Its pseudonymous UID.
        predicted: What the model takes it for, under the site's patch.
        probability: The model's probability of that.
        margin: That probability less the next one: small where the model is unsure.
        represents: Studies of the site that it stands for.
        gain: What it adds to how well the list stands for the site, in [0, 1].
        reason: The same in words.
    """

    study: str
    predicted: str
    probability: float
    margin: float
    represents: int
    gain: float
    reason: str


def suggest_studies(
    explainer: StudyExplainer, site: str, count: int, *, label: str | None = None, patch: SitePatch | None = None
) -> tuple[Suggestion, ...]:
    """Return the studies of a site to label next, one a patient, and keep the list.

    Patients with a labelled study, or in the support of the patch, are represented already and not suggested.

    Args:
        explainer: Model and archive.
        site: The site.
        count: How many.
        label: Name of the archive's label that holds the class; by default the one whose values are classes, if any.
        patch: The patch in force.

    Raises:
        OslerError: `nothing-eligible` where the site has no study without a label; `usage`.
    """
    if count < 1:
        raise OslerError(Code.USAGE, f"{count} studies cannot be suggested.", "Ask for 1 at least.")
    stream = read_stream(explainer, site, patch)
    stream = stream.rows(slice(max(len(stream) - POOL, 0), None))
    classes = explainer.pipeline.classes
    predicted = stream.logits.argmax(axis=1)
    labels = _known(explainer, stream, label, patch, predicted)
    if all(one is not None for one in labels):
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"Site {site!r} has no patient without a label.",
            "Ingest more studies, or adapt with those that it has.",
        )
    p = np.sort(explainer.pipeline.calibration.probabilities(stream.logits), axis=1)
    found = suggest(stream.values, predicted, count, labels=labels)
    listed = tuple(_told(one, stream, classes[predicted[one.row]], p[one.row, -1], p[one.row, -2]) for one in found)
    path = site_folder(explainer.workspace.drift, site) / f"suggested-{explainer.model}.json"
    write_atomically(path, (json.dumps([asdict(one) for one in listed], indent=1) + "\n").encode())
    return listed


def _known(
    explainer: StudyExplainer, stream: Stream, label: str | None, patch: SitePatch | None, predicted: NDArray[np.intp]
) -> list[int | None]:
    """Return the class of each study's patient where it has a label, what is predicted where it was in the patch's support."""
    support = set(SupportStore(explainer.workspace.patches).of(patch.support) or ()) if patch is not None else set()
    classes = explainer.pipeline.classes
    studies = explainer.archive.studies(stream.studies[0].site if stream.studies else "")
    try:
        column = choose_column(studies, classes, {}, label)
    except OslerError:  # nothing is labelled yet
        column = label or ""
    held: dict[str, int] = {}
    for study in studies:
        k = class_of(study.labels.get(column), classes, {})
        if k >= 0:
            held[study.patient] = k
    supported = {study.patient for study in studies if study.uid in support}
    return [
        held.get(study.patient, int(k) if study.patient in supported else None)
        for study, k in zip(stream.studies, predicted, strict=True)
    ]


def _told(one: Choice, stream: Stream, predicted: str, first: float, second: float) -> Suggestion:
    sure = "unsure of it" if first - second < 0.2 else "sure of it"
    reason = f"stands for {one.represents} of {len(stream)} studies; the model says {predicted} and is {sure}"
    return Suggestion(
        stream.studies[one.row].uid, predicted, float(first), float(first - second), one.represents, one.gain, reason
    )
