"""Archived studies of other patients with a like concept profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from osler.archive.label_column import class_of
from osler.bottleneck.records import Array, BoolArray
from osler.explain.explanation import SimilarStudy
from osler.explain.profiles import Profiles

COUNT = 5
TO_REVIEW = "to review"
_FLAT = 1e-6


def similar_studies(
    values: Array,
    patient: str,
    archived: Sequence[Profiles],
    spread: Array,
    *,
    used: BoolArray,
    classes: tuple[str, ...],
    reviews: Mapping[str, str] | None = None,
    count: int = COUNT,
) -> tuple[SimilarStudy, ...]:
    """Return the likest studies, the likest first; one a patient.

    Args:
        values: Concept values of the study as scored (C,).
        patient: Its patient, whose studies are left out.
        archived: Profiles by site.
        spread: Standard deviation of each concept at the source (C,).
        used: Which concepts count (C,): not those that the site ignores.
        classes: The model's classes, by which a label of the archive is known.
        reviews: Where each study stands that readers have looked at.
        count: How many.
    """
    used = used & (spread > _FLAT)
    if not used.any():
        return ()
    scale = np.where(used, 1 / np.maximum(spread, _FLAT), 0)
    away = [np.sqrt((((held.values - values) * scale) ** 2).sum(axis=1) / used.sum()) for held in archived]
    found: dict[str, SimilarStudy] = {}
    for distance, held, place in _nearest_first(archived, away):
        study = held.studies[place]
        if study.patient == patient or study.patient in found:
            continue
        known = next((classes[k] for one in study.labels.values() if (k := class_of(one, classes, {})) >= 0), None)
        found[study.patient] = SimilarStudy(
            study.uid, study.site, distance, held.findings[place], known, (reviews or {}).get(study.uid, TO_REVIEW)
        )
        if len(found) == count:
            break
    return tuple(found.values())


def _nearest_first(archived: Sequence[Profiles], away: Sequence[Array]) -> Iterator[tuple[float, Profiles, int]]:
    """Give distance, site and place of each study, those equally far by their UID.

    A few are looked at of thousands, so that only those are told apart that are equally far.
    """
    rows = [(held, place) for held in archived for place in range(len(held.studies))]
    distances = np.concatenate([*away, np.empty(0)])
    for distance, numbers in groupby(np.argsort(distances, kind="stable"), key=distances.__getitem__):
        for held, place in sorted((rows[k] for k in numbers), key=lambda row: row[0].studies[row[1]].uid):
            yield float(distance), held, place
