"""Explanations of archived studies: what the dashboard and the command line share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.archive import Archive, StudyRecord
from osler.bottleneck.artefact import find_encoder, load_bottleneck
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, columns
from osler.calibrate.record import SiteCalibration
from osler.calibrate.store import CalibrationStore
from osler.explain.context import Context
from osler.explain.contrast import explain
from osler.explain.explanation import Explanation
from osler.explain.site_measures import SiteImages, SiteMeasures
from osler.explain.surroundings import Surroundings
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank


def model_names(workspace: Workspace) -> list[str]:
    """Return the names of the models of a workspace."""
    return sorted(path.parent.name for path in workspace.models.glob("*/bottleneck.json"))


@dataclass(frozen=True)
class StudyExplainer:
    """One model over the archive of a workspace; the network is loaded when the first image must be encoded.

    Attributes:
        workspace: The workspace.
        model: Name of a model in it.
        bank: The concept bank to explain with, where it is not the model's own; the model must be fitted on that version.
    """

    workspace: Workspace
    model: str
    bank: ConceptBank | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        """The model.

        Raises:
            OslerError: `model-invalid`, `model-hash-mismatch` or `bank-mismatch`.
        """
        if self.model not in model_names(self.workspace):
            raise OslerError(
                Code.MODEL_INVALID,
                f"The workspace has no model {self.model!r}.",
                f"It has: {', '.join(model_names(self.workspace)) or 'none'}.",
            )
        pipeline = load_bottleneck(self.workspace.models / self.model)
        return pipeline.with_bank(self.bank) if self.bank else pipeline

    @cached_property
    def archive(self) -> Archive:
        """The archive."""
        return Archive(self.workspace)

    @cached_property
    def patches(self) -> PatchStore:
        """The patches."""
        return PatchStore(self.workspace.patches)

    @cached_property
    def _sites(self) -> SiteMeasures:
        digest = self.pipeline.encoder_digest
        encoder = LazyEncoder(find_encoder(digest, self.workspace.models / self.model), digest)
        return SiteMeasures(self.archive, self.pipeline, encoder, self.workspace.cache)

    def features(self, study: StudyRecord, patch: SitePatch | None = None) -> Features:
        """Return the features (1, D) and tokens of the image by which models know a study, as `osler evaluate` has them.

        They come from the cache where it can, after the model's label-free corrections, for which all studies of its site
        are measured once.

        Args:
            study: The study.
            patch: The patch to predict with, in case that it changes images; what it does to features waits for the pipeline.

        Raises:
            OslerError: `nothing-eligible` where the study has no such image.
        """
        return self._sites.of_study(study, patch)

    def site_features(self, site: str) -> tuple[tuple[StudyRecord, ...], Features]:
        """Return the studies of a site whose image can be read, and their features (n, D), whatever their labels.

        Raises:
            OslerError: `nothing-eligible` where there is none.
        """
        return self._sites.of_site(site)

    def site_images(self, site: str) -> SiteImages:
        """Return the images of the studies of `site_features`, as the encoder sees them.

        Raises:
            OslerError: `nothing-eligible` where there is none.
        """
        return self._sites.images_of_site(site)

    def active_patch(self, site: str) -> SitePatch | None:
        """Return the patch in force for this model at a site."""
        return self.patches.active(site, self.pipeline.digest)

    def calibration_at(
        self, site: str, patch: SitePatch | None = None, on: str | None = None
    ) -> tuple[SiteCalibration | None, tuple[str, ...]]:
        """Return the calibration in force for this model at a site under a patch, and why an active one does not hold."""
        name = patch.id if patch is not None and patch.holds(site) else None
        return CalibrationStore(self.workspace.calibrations).in_force(site, self.pipeline.digest, name, on)

    def explain(
        self,
        study: str | StudyRecord,
        *,
        patched: bool = True,
        patch: SitePatch | None = None,
        corrections: Mapping[str, float] | None = None,
    ) -> Explanation:
        """Explain one study, with what its archive and its site say of it.

        Args:
            study: Its pseudonymous UID, or its record where that was read already.
            patched: Apply the patch in force at the study's site.
            patch: A patch to try instead of it.
            corrections: Values in [0, 1] that a reader sets, by concept.

        Raises:
            OslerError: `unknown-study`, `nothing-eligible`, and as `osler.explain.contrast.explain`.
        """
        study = study if isinstance(study, StudyRecord) else self.archive.study(study)
        chosen = patch or (self.active_patch(study.site) if patched else None)
        calibration, warnings = self.calibration_at(study.site, chosen)
        return explain(
            self.pipeline,
            self.features(study, chosen),
            study=study.uid,
            site=study.site,
            patch=chosen,
            corrections=corrections,
            calibration=calibration,
            warnings=warnings,
            context=self.surroundings.of(study, chosen),
        )

    @cached_property
    def surroundings(self) -> Surroundings:
        """What stands around studies."""
        return Surroundings(self)

    def context(self, study: StudyRecord, patch: SitePatch | None = None) -> Context:
        """Return what stands around a study under a patch, for `osler.explain.contrast.explain`."""
        return self.surroundings.of(study, patch)

    def concept_map(self, uid: str, concept_id: str) -> NDArray[np.floating[Any]] | None:
        """Return where in the image a concept was seen, as logits (h, w) of a coarse grid.

        None where none can be drawn, or where nobody checked that maps of this concept point where it is.

        Raises:
            OslerError: `unknown-study`, `unknown-concept`, `nothing-eligible`.
        """
        place = columns(self.pipeline.bank.ids, (concept_id,), "model")[0]
        if not self.surroundings.validation.of(concept_id).map_shown:
            return None
        features = self.features(self.archive.study(uid))
        maps = self.pipeline.scorer.score(features, self.pipeline.bank).maps
        return None if maps is None else np.asarray(maps[0, 0, place])
