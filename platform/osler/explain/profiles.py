"""What a model scored at every archived study of a site, read once and kept until the archive changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from osler.archive import StudyRecord
from osler.bottleneck.records import Array, Features
from osler.explain.site_measures import SiteMeasures
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler.explain.service import StudyExplainer


@dataclass(frozen=True, eq=False)
class Profiles:
    """Archived studies with the concepts that the scorer found.

    Attributes:
        studies: The studies (n).
        values: Concept values before any patch (n, C), in the bank's order.
        findings: Class that the model says, under the patch in force at each site (n).
        features: Pooled features (n, D).
        complete: Whether every study of the site that models can know is among them.
    """

    studies: tuple[StudyRecord, ...]
    values: Array
    findings: tuple[str, ...]
    features: Array
    complete: bool = True

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Pseudonyms (n)."""
        return tuple(one.patient for one in self.studies)


@dataclass(frozen=True)
class _Asleep:
    """An encoder that is not to be woken: it knows the cache, and refuses what is not there."""

    digest: str

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        raise OslerError(Code.NOTHING_ELIGIBLE, "This image was not encoded yet.", "Let `osler explain --site` run.")


def read_profiles(
    explainer: StudyExplainer, site: str, archived: Sequence[StudyRecord], *, encode: bool = False
) -> Profiles | None:
    """Return the profiles of a site, from the cache where it holds them; None where the model reads nothing there.

    Args:
        explainer: Model and archive.
        site: The site.
        archived: Its studies.
        encode: Whether images that were not encoded yet may be, which takes minutes for a large site.
    """
    patch = explainer.active_patch(site)
    path = explainer.workspace.cache / "explain" / f"{_key(explainer, archived, patch and patch.id)}.npz"
    held = _stored(path, {one.uid: one for one in archived})
    if held is not None:
        return held
    try:
        studies, features = explainer.site_features(site) if encode else _cached_features(explainer, site)
    except OslerError:
        return None
    pipeline = replace(explainer.pipeline, patches={})
    values = pipeline.scorer.score(features, pipeline.bank).static
    logits = pipeline.predict_features(features, site=site, patch=patch).logits
    findings = tuple(pipeline.classes[k] for k in logits.argmax(axis=1))
    whole = encode or len(studies) == sum(explainer.archive.image(one) is not None for one in archived)
    found = Profiles(studies, values, findings, np.asarray(features.pooled, np.float32), whole)
    if whole:
        _keep(path, found)
    return found


def _cached_features(explainer: StudyExplainer, site: str) -> tuple[tuple[StudyRecord, ...], Features]:
    pipeline = explainer.pipeline
    if any(one.stage != "probability" for one in pipeline.corrections):
        # What a correction measures of a site is kept, so that it must never be measured of a part of it.
        raise OslerError(Code.NOTHING_ELIGIBLE, "The site was not read yet.", "Let `osler explain --site` run.")
    cache, asleep = explainer.workspace.cache, _Asleep(pipeline.encoder_digest)
    return SiteMeasures(explainer.archive, pipeline, asleep, cache).of_site(site)


def _key(explainer: StudyExplainer, studies: Sequence[StudyRecord], patch: object) -> str:
    """Name the profiles by all that they depend on: model, patch, and which images there are."""
    images = [[one.uid, sorted(image.sha256 for image in one.instances)] for one in studies]
    text = json.dumps([explainer.pipeline.digest, patch, images])
    return hashlib.sha256(text.encode()).hexdigest()


def _keep(path: Path, found: Profiles) -> None:
    content = BytesIO()
    uids, findings = np.array([one.uid for one in found.studies]), np.array(found.findings)
    np.savez(content, uids=uids, values=found.values, findings=findings, features=found.features)
    with suppress(OSError):  # a cache that cannot be written costs time and nothing else
        write_atomically(path, content.getvalue())


def _stored(path: Path, studies: dict[str, StudyRecord]) -> Profiles | None:
    try:
        with np.load(path, allow_pickle=False) as held:
            records = tuple(studies[uid] for uid in held["uids"].tolist())
            return Profiles(records, held["values"], tuple(held["findings"].tolist()), held["features"])
    except (OSError, ValueError, KeyError, EOFError):
        return None
