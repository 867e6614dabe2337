"""From the archive to what methods are fitted on: one frontal image a study, its features, its label, its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler.archive import Archive, InstanceRecord, StudyRecord
from osler.archive.images import instance_key
from osler.bottleneck.encoders.catalogue import ImageEncoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.records import Features
from osler.dicom.pixels import read_image
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.problem import Cohort

Progress = Callable[[str], None]


@dataclass(frozen=True)
class SiteImages:
    """The studies of a site that have a frontal image, and those images at the size the networks see.

    Attributes:
        studies: The studies (n,).
        images: Their frontal images (n, side, side) in [0, 1], dense tissue bright.
        keys: Name of each image in a feature cache (n,).
    """

    studies: tuple[StudyRecord, ...]
    images: NDArray[np.float32]
    keys: tuple[str, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Pseudonym of the patient of each study."""
        return tuple(study.patient for study in self.studies)

    @property
    def reports(self) -> tuple[str, ...]:
        """Report of each study, empty where there is none."""
        return tuple(study.report or "" for study in self.studies)

    def keep(self, wanted: Sequence[bool]) -> SiteImages:
        """Return some of the studies."""
        index = np.flatnonzero(np.asarray(wanted, bool))
        return SiteImages(tuple(self.studies[i] for i in index), self.images[index], tuple(self.keys[i] for i in index))


def _read(preprocess: Preprocess, instance: InstanceRecord) -> tuple[NDArray[np.float32], str]:
    """Read one image and bring it to the encoder's size, by the encoder's own resizing."""
    image = read_image(Path(instance.path))
    if image.values.ndim == 2:
        return preprocess.resized(image.values), instance_key(instance)
    return preprocess.resized(image.values.mean(axis=2)), instance_key(instance, {"grey": True})


def read_site(
    archive: Archive, site: str, preprocess: Preprocess, *, workers: int = 2, label: str | None = None
) -> SiteImages:
    """Read the frontal image of every study of a site.

    Args:
        archive: The archive.
        site: Name of the site.
        preprocess: Resizing of the encoder that will see the images.
        workers: Processes that decode.
        label: Leave out studies that do not carry this label.

    Raises:
        OslerError: `nothing-eligible` where the site has no frontal image.
    """
    pairs = [
        (study, archive.frontal(study)) for study in archive.studies(site) if label is None or label in study.labels
    ]
    found = [(study, instance) for study, instance in pairs if instance is not None]
    if not found:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The archive has no frontal image of site {site!r}" + (f" with a label {label!r}." if label else "."),
            "See `osler archive list` for what it has, and `osler ingest --labels` for labels.",
        )
    read = partial(_read, preprocess)
    instances = [instance for _, instance in found]
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            images = list(pool.map(read, instances, chunksize=16))
    else:
        images = [read(instance) for instance in instances]
    return SiteImages(
        tuple(study for study, _ in found), np.stack([image for image, _ in images]), tuple(key for _, key in images)
    )


def cohort(site: SiteImages, encoder: ImageEncoder, classes: Sequence[str], label: str, cache: Path) -> Cohort:
    """Encode the images of a site whose label is one of the classes.

    Args:
        site: The images.
        encoder: The encoder.
        classes: Names of the classes; their order gives the class index.
        label: Name of the label that holds the class.
        cache: Folder of the feature cache.
    """
    chosen = site.keep([study.labels.get(label) in classes for study in site.studies])
    features = encoded(chosen, encoder, cache)
    return Cohort(
        features=features,
        y=np.array([classes.index(study.labels[label]) for study in chosen.studies], dtype=np.intp),
        patients=chosen.patients,
        images=chosen.images,
        study_uids=tuple(study.uid for study in chosen.studies),
    )


def encoded(site: SiteImages, encoder: ImageEncoder, cache: Path) -> Features:
    """Return the features of a site's images, with spatial tokens: the dashboard finds them in the cache."""
    return FeatureCache(cache, encoder).features(site.keys, lambda number: site.images[number], tokens=True)
