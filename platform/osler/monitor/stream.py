"""The concepts of a site's archived studies in the order of arrival, one study a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from osler.adapt.patch import SitePatch
from osler.archive import StudyRecord
from osler.bottleneck.records import Array, Features
from osler.drift.arrived import Arrived, arrived_images
from osler.explain.service import StudyExplainer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class Stream:
    """Studies of a site as a model reads them.

    Attributes:
        studies: The first study of each patient, in the order of arrival.
        arrived: Its first image and the run that brought it.
        values: Concept values (n, C) in the bank's order.
        logits: Class logits (n, K).
        unmeasured: Studies that were left out since a concept could not be measured.
    """

    studies: tuple[StudyRecord, ...]
    arrived: tuple[Arrived, ...]
    values: Array
    logits: Array
    unmeasured: int = 0

    def __len__(self) -> int:
        """Return n."""
        return len(self.studies)

    def rows(self, chosen: Sequence[int] | slice) -> Stream:
        """Return some of the studies."""
        index = list(range(len(self)))[chosen] if isinstance(chosen, slice) else list(chosen)
        return replace(
            self,
            studies=tuple(self.studies[row] for row in index),
            arrived=tuple(self.arrived[row] for row in index),
            values=self.values[index],
            logits=self.logits[index],
        )

    def since(self, moment: str) -> Stream:
        """Return what a run of ingest, by number, or a day, as an ISO date, and later ones brought.

        Raises:
            OslerError: `usage` where it is neither.
        """
        if moment.isdecimal():
            return self.rows([row for row, at in enumerate(self.arrived) if at.run >= int(moment)])
        try:
            day = date.fromisoformat(moment).isoformat()
        except ValueError:
            raise OslerError(
                Code.USAGE, f"{moment!r} is neither a run nor a day.", "Give a run's number or a date as 2024-05-01."
            ) from None
        return self.rows([row for row, at in enumerate(self.arrived) if at.started[:10] >= day])


def read_stream(explainer: StudyExplainer, site: str, patch: SitePatch | None = None) -> Stream:
    """Read the concepts of a site's studies.

    Args:
        explainer: Model and archive.
        site: The site.
        patch: Read them as this patch makes them; without it as the model scores them.

    Raises:
        OslerError: `nothing-eligible` where the site has no study that the model reads.
    """
    pipeline = replace(explainer.pipeline, patches={})
    studies, features = explainer.site_features(site)
    if patch is not None and any(one.stage == "image" for one in patch.corrections):
        features = Features(np.concatenate([explainer.features(study, patch).pooled for study in studies]))
    output = pipeline.predict_features(features, site=site, patch=patch)
    values, logits = output.state.static, output.logits
    first: dict[str, Arrived] = {}
    for image in arrived_images(explainer.archive, site):
        first.setdefault(image.study, image)
    finite = np.asarray(np.isfinite(values).all(axis=1), np.bool_)
    known = [row for row, study in enumerate(studies) if study.uid in first]
    rows = sorted((row for row in known if finite[row]), key=lambda row: (first[studies[row].uid].position, row))
    one_each: dict[str, int] = {}
    for row in rows:
        one_each.setdefault(studies[row].patient, row)
    chosen = list(one_each.values())
    return Stream(
        studies=tuple(studies[row] for row in chosen),
        arrived=tuple(first[studies[row].uid] for row in chosen),
        values=values[chosen],
        logits=logits[chosen],
        unmeasured=len(known) - len(rows),
    )
