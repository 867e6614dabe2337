"""Gathering what stands around a study: measured once a site, and again when archive or reviews have changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from osler.adapt.patch import SitePatch
from osler.archive import StudyRecord
from osler.database import index_stamp
from osler.explain.cautions import of_concepts, of_contract, of_drift, of_patches
from osler.explain.context import Context
from osler.explain.explanation import ExplanationWarning, Measured
from osler.explain.grounding import measure_grounding
from osler.explain.profiles import Profiles, read_profiles
from osler.explain.typicality import Typical
from osler.explain.validation import Validation, load_validation
from osler.feedback import reviews_by_study, reviews_stamp

if TYPE_CHECKING:
    from osler.explain.service import StudyExplainer

T = TypeVar("T")
AGAIN_S = 60.0  # until a site of which not all was encoded is looked at again


@dataclass(frozen=True)
class Surroundings:
    """What stands around the studies of an archive, for one model.

    Attributes:
        explainer: Model and archive.
    """

    explainer: StudyExplainer
    _held: dict[Any, tuple[Any, Any]] = field(default_factory=dict, repr=False)
    _read_at: dict[Any, float] = field(default_factory=dict, repr=False)

    @cached_property
    def validation(self) -> Validation:
        """What was checked of the model."""
        return load_validation(self.explainer.workspace.models / self.explainer.model, self.explainer.pipeline.digest)

    @cached_property
    def concepts(self) -> Typical | None:
        """What concept values are usual at the source."""
        source = self.explainer.pipeline.source.aligned(self.explainer.pipeline.bank.ids)
        return Typical.fit("concepts", source.values, source.y)

    def features(self) -> Typical | None:
        """What image features are usual at the source, as its record has it or as its archived studies show it."""
        held = self.validation.features
        profiles = None if held is not None else self.profiles(self.explainer.pipeline.source.site)
        if profiles is None:
            return held
        return self._once(
            "features",
            lambda: Typical.fit("image features", profiles.features, groups=profiles.patients),
            profiles,
        )

    def profiles(self, site: str) -> Profiles | None:
        """Return the profiles of a site, read again once studies have arrived or its patch is another."""
        patch, name = self.explainer.active_patch(site), ("profiles", site)
        key = (self._arrived(), None if patch is None else patch.id)
        read_at, held = self._read_at.get(name, float("-inf")), self._held.get(name, (None, None))[1]
        if (held is None or not held.complete) and time.monotonic() - read_at > AGAIN_S:
            self._held.pop(name, None)  # somebody may have encoded more of them by now
            self._read_at[name] = time.monotonic()
        return self._once(name, lambda: read_profiles(self.explainer, site, self._archived().get(site, ())), key)

    def gather(self, site: str) -> None:
        """Read every study of a site, encoding what was not encoded yet: for a large site a matter of minutes."""
        read_profiles(self.explainer, site, self._archived().get(site, ()), encode=True)
        self._held.pop(("profiles", site), None)

    def grounding(self, site: str) -> dict[str, Measured]:
        """Return how well each concept is recognised at a site; see `measure_grounding`."""
        profiles = self.profiles(site)
        if profiles is None:
            return {}
        bank, cache = self.explainer.pipeline.bank, self.explainer.workspace.cache
        return self._once(("grounding", site), lambda: measure_grounding(profiles, bank, site, cache=cache), profiles)

    def of(self, study: StudyRecord, patch: SitePatch | None) -> Context:
        """Return what stands around a study that is explained under a patch."""
        return Context(
            validation=self.validation,
            grounding=self.grounding(study.site),
            concepts=self.concepts,
            features=self.features(),
            archived=tuple(found for site in self._archived() if (found := self.profiles(site)) is not None),
            others=self._patients().total() - self._patients()[study.patient],
            patient=study.patient,
            reviews=self._reviews(),
            warnings=self._warnings(study, patch),
        )

    def _archived(self) -> dict[str, list[StudyRecord]]:
        """Return the studies of the archive by site."""
        return self._once("archived", self._by_site, self._arrived())

    def _patients(self) -> Counter[str]:
        """Return how many archived studies each patient has."""
        archived = self._archived()
        return self._once(
            "patients", lambda: Counter(one.patient for found in archived.values() for one in found), archived
        )

    def _reviews(self) -> dict[str, str]:
        """Return where each study stands that readers have looked at; grouped once for each state of the reviews."""
        workspace = self.explainer.workspace
        return self._once(
            "reviews",
            lambda: {uid: one.state.value for uid, one in reviews_by_study(workspace).items()},
            reviews_stamp(workspace),
        )

    def _by_site(self) -> dict[str, list[StudyRecord]]:
        found: dict[str, list[StudyRecord]] = {}
        for study in self.explainer.archive.studies():
            found.setdefault(study.site, []).append(study)
        return found

    def _warnings(self, study: StudyRecord, patch: SitePatch | None) -> tuple[ExplanationWarning, ...]:
        held = self.explainer
        return (
            *of_contract(study),
            *of_drift(held.workspace, study.site),
            *of_concepts(held.workspace, study.site, held.model, held.pipeline.digest),
            *of_patches(held.patches, study.site, held.pipeline.digest, patch),
        )

    def _arrived(self) -> tuple[object, ...]:
        """Return when the index was written last."""
        return index_stamp(self.explainer.workspace)

    def _once(self, name: Any, make: Callable[[], T], key: Any) -> T:
        if name not in self._held or not _same(self._held[name][0], key):
            self._held[name] = (key, make())
        found: T = self._held[name][1]
        return found


def _same(first: Any, second: Any) -> bool:
    return first is second or (isinstance(first, (tuple, int)) and bool(first == second))
