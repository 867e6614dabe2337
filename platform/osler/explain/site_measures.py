"""What a model sees of the archived studies of a site: the very features that `osler evaluate` predicts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from osler.adapt.patch import SitePatch
from osler.archive import Archive, StudyRecord
from osler.archive.images import StudyImages, sees_grey
from osler.bottleneck.correction import FittedCorrection, SiteStatistics, site_statistics, through_stage
from osler.bottleneck.encoding import Encoding, Progress, encode_images
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, BoolArray, Features
from osler.bottleneck.site_features import at_site
from osler.bottleneck.site_images import LazyImages
from osler.database import index_stamp
from osler.engine import Engine
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class SiteImages:
    """Images of a site, each read when it is asked for."""

    read: Sequence[Array]

    def kept(self, known: BoolArray) -> Sequence[Array]:
        """Return some of them, by a mask (n,)."""
        rows = [int(row) for row in np.flatnonzero(known)]
        return LazyImages(lambda place: self.read[rows[place]], len(rows))


@dataclass(frozen=True)
class SiteMeasures:
    """Features of archived studies for one model; what its corrections measure of a site is measured once and kept.

    Attributes:
        archive: The archive.
        pipeline: The model.
        encoder: Its encoder.
        cache: Folder of what can be derived again.
    """

    archive: Archive
    pipeline: Pipeline
    encoder: Encoder
    cache: Path
    _held: dict[tuple[str, str], tuple[tuple[object, ...], SiteStatistics]] = field(default_factory=dict, repr=False)

    @property
    def _corrections(self) -> tuple[FittedCorrection, ...]:
        """Those that change features; what is done to probabilities comes after the head."""
        return tuple(one for one in self.pipeline.corrections if one.stage != "probability")

    def of_study(self, study: StudyRecord, patch: SitePatch | None = None) -> Features:
        """Return the features (1, D) and tokens of a study, under a patch that may change its image.

        Raises:
            OslerError: `nothing-eligible` where the study has no image that models know it by, or its site none that can be
                measured; a refusal of the DICOM reader.
        """
        images = self._images([study])
        if not len(images):
            raise OslerError(
                Code.NOTHING_ELIGIBLE,
                f"Study {study.uid} has no frontal image.",
                "Choose another: `osler archive list` shows which have one.",
            )
        changed = any(one.stage == "image" for one in patch.corrections) if patch is not None else False
        here = patch if changed and patch is not None and patch.site == study.site else None
        own = self.statistics(study.site, here) if self._corrections else None
        return at_site(self.encoder, images, self._corrections, self.cache, own, tokens=True, patch=here)[0]

    def of_site(self, site: str) -> tuple[tuple[StudyRecord, ...], Features]:
        """Return the studies of a site whose image can be read, and their features (n, D), without any patch.

        Raises:
            OslerError: `nothing-eligible` where there is none.
        """
        images = self._readable(site)
        own = self.statistics(site) if self._corrections else None
        features, _ = at_site(self.encoder, images, self._corrections, self.cache, own, tokens=self._tokens)
        return images.studies, features

    def images_of_site(self, site: str) -> SiteImages:
        """Return the images of the studies of `of_site`, after the model's corrections of images.

        Raises:
            OslerError: `nothing-eligible` where there is none.
        """
        images = self._readable(site)
        own = self.statistics(site) if self._corrections else None
        looked = through_stage(self._corrections, "image", LazyImages(images.load, len(images)), own)[0]
        return SiteImages(looked)

    def encode(self, site: str, engine: Engine, progress: Progress = lambda _: None) -> None:
        """Have every image of a site encoded by an engine's workers, as `of_site` and `of_study` ask for them.

        Args:
            site: The site.
            engine: Does the work.
            progress: Hears how far it is.
        """
        images = self._images(self.archive.studies(site))
        encode_images(engine, Encoding(self.encoder, self.cache), images, progress)
        if any(one.stage == "image" for one in self._corrections):
            own = self.statistics(site)
            moved = Encoding(self.encoder, self.cache, fitted=self._corrections, own=own)
            encode_images(engine, moved, self._readable(site), progress)

    @property
    def _tokens(self) -> bool:
        return bool(getattr(self.pipeline.scorer, "needs_tokens", False))

    def statistics(self, site: str, patch: SitePatch | None = None) -> SiteStatistics:
        """Return what the model's corrections measured of all studies of a site, whatever their labels.

        Args:
            site: The site.
            patch: A patch that changes the images there: what comes after them is measured on what it makes of them.

        Raises:
            OslerError: `nothing-eligible` where none can be read.
        """
        written, key = self._written(), (site, "" if patch is None else patch.id)
        if key not in self._held or self._held[key][0] != written:
            name = self._name(self._images(self.archive.studies(site)), key)
            self._held[key] = (written, self._stored(name) or self._measured(name, site, patch))
        return self._held[key][1]

    def _written(self) -> tuple[object, ...]:
        """Return when the index was written last: a site is measured again once studies have arrived."""
        return index_stamp(self.archive.workspace)

    def _images(self, studies: Sequence[StudyRecord]) -> StudyImages:
        return StudyImages.of(self.archive, studies, grey=sees_grey(self.pipeline.notes))

    def _readable(self, site: str) -> StudyImages:
        """Return the images of a site that the encoder takes: one that is damaged must not cost the site."""
        images = self._images(self.archive.studies(site))
        try:
            at_site(self.encoder, images, (), self.cache, tokens=self._tokens)
        except (OslerError, ValueError, RuntimeError, OSError):
            images = images.rows([row for row in range(len(images)) if self._takes(images.rows([row]))])
        if not len(images):
            raise OslerError(
                Code.NOTHING_ELIGIBLE,
                f"The archive has no image of site {site!r} that this model reads.",
                "See `osler archive list` for what it has.",
            )
        return images

    def _takes(self, image: StudyImages) -> bool:
        try:
            at_site(self.encoder, image, (), self.cache)
        except (OslerError, ValueError, RuntimeError, OSError):
            return False
        return True

    def _measured(self, name: str, site: str, patch: SitePatch | None) -> SiteStatistics:
        images, fitted = self._readable(site), self._corrections
        taken = at_site(self.encoder, images, fitted, self.cache, patch=patch)[1]
        own = site_statistics(fitted, taken, images=len(images), site=site)
        tensors, record = own.to_artefact()
        content = save({key: np.ascontiguousarray(one) for key, one in tensors.items()}, {"record": json.dumps(record)})
        with suppress(OSError):  # a cache that cannot be written costs time and nothing else
            write_atomically(self._path(name), content)
        return own

    def _stored(self, name: str) -> SiteStatistics | None:
        try:
            with safe_open(self._path(name), framework="numpy") as stored:
                record = json.loads(stored.metadata()["record"])
                own = SiteStatistics.from_artefact({key: stored.get_tensor(key) for key in stored.keys()}, record)  # noqa: SIM118
            own.require_of(self._corrections)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, OslerError):
            return None
        return own

    def _name(self, images: StudyImages, of: tuple[str, str]) -> str:
        """Name what is measured by all that it depends on: site, patch, the images, the encoder and the corrections."""
        digests = [one.digest for one in self._corrections]
        text = json.dumps([of, list(images.keys), self.pipeline.encoder_digest, digests])
        return hashlib.sha256(text.encode()).hexdigest()

    def _path(self, name: str) -> Path:
        return self.cache / "sites" / f"{name}.safetensors"
