"""Archived studies as models see them: one image each, in the channels that the model was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from osler.archive.records import InstanceRecord, StudyRecord
from osler.archive.store import Archive
from osler.bottleneck.feature_cache import image_key
from osler.bottleneck.records import Array
from osler.dicom.pixels import read_image


def sees_grey(notes: Mapping[str, Any]) -> bool:
    """Return whether a model with these notes sees colour as grey; one that says nothing sees images as they are."""
    return notes.get("channels") == "grey"


def instance_key(instance: InstanceRecord, record: Mapping[str, Any] | None = None) -> str:
    """Name an archived image in a feature cache.

    Args:
        instance: The image.
        record: What departs from plain reading, such as `{"grey": True}`.
    """
    return image_key(instance.sha256, {"decoder": instance.decoder, **(record or {})})


@dataclass(frozen=True)
class StudyImages:
    """The images of some studies, read when they are asked for.

    Attributes:
        studies: The studies (n,).
        instances: The image of each.
        grey: Whether colour is averaged away.
    """

    studies: tuple[StudyRecord, ...]
    instances: tuple[InstanceRecord, ...]
    grey: bool = False

    @classmethod
    def of(cls, archive: Archive, studies: Sequence[StudyRecord], *, grey: bool) -> Self:
        """Choose the image of each study; studies without one are left out."""
        pairs = [(study, archive.image(study)) for study in studies]
        found = [(study, instance) for study, instance in pairs if instance is not None]
        return cls(tuple(study for study, _ in found), tuple(instance for _, instance in found), grey)

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def keys(self) -> tuple[str, ...]:
        """Name of each image in a feature cache."""
        return tuple(instance_key(one, {"grey": True} if self.grey else None) for one in self.instances)

    def load(self, row: int) -> Array:
        """Read the image of a row, (H, W) or (H, W, 3) in [0, 1].

        Raises:
            OslerError: A refusal of the DICOM reader.
        """
        values = read_image(self.instances[row].path).values
        if self.grey and values.ndim == 3:
            values = values.mean(axis=2)
        return np.asarray(values, np.float32)

    def rows(self, chosen: Sequence[int]) -> StudyImages:
        """Return some of them."""
        return StudyImages(
            tuple(self.studies[row] for row in chosen), tuple(self.instances[row] for row in chosen), self.grey
        )
