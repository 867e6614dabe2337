"""A correction that remembers its source, what was measured at a site, and the way of a batch through a stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.protocols import Correction, Record, Stage, Statistics, Tensors
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class FittedCorrection:
    """A correction with the statistics of the source.

    Attributes:
        name: Name of the correction: its module.
        reference: Statistics of the source.
        options: Its options, all of them once made.

    Raises:
        OslerError: `usage` where there is no such correction or option.
    """

    name: str
    reference: Statistics
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", _contiguous(self.reference))
        # A default that changes one day must not change a stored model.
        object.__setattr__(self, "options", asdict(self.correction))  # type: ignore[call-overload]

    @classmethod
    def at_source(cls, name: str, batch: Any, options: Mapping[str, Any] | None = None) -> FittedCorrection:
        """Measure a batch of the source, in the terms of the correction's stage."""
        return cls(name, parse_correction(name, options).measure(batch), dict(options or {}))

    @cached_property
    def correction(self) -> Correction:
        """The correction."""
        return parse_correction(self.name, self.options)

    @property
    def stage(self) -> Stage:
        """Where it works."""
        return self.correction.stage

    @cached_property
    def digest(self) -> str:
        """SHA-256 over name, options and statistics, and over the version of a correction that came to work differently.

        Features in a cache are found by it, so a correction that moves a batch differently than before raises `version`.
        """
        record = {"name": self.name, "options": dict(self.options)}
        version = getattr(self.correction, "version", 1)
        return _digest(record if version == 1 else {**record, "version": version}, self.reference)

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        return dict(self.reference), {"name": self.name, "options": dict(self.options)}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Any], record: Mapping[str, Any]) -> FittedCorrection:
        """Build it from what was stored."""
        return cls(record["name"], dict(tensors), record["options"])


@dataclass(frozen=True, eq=False)
class SiteStatistics:
    """What a batch of a site measured, correction by correction: all that a site's preprocessing depends on.

    Attributes:
        images: Number of images in the batch.
        own: Statistics of each correction, in the order of the pipeline's.
        corrections: Digest of each correction that they belong to.
        site: Name of the site, or empty.
    """

    images: int
    own: tuple[Statistics, ...] = ()
    corrections: tuple[str, ...] = ()
    site: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", tuple(map(_contiguous, self.own)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        tensors, record = self.to_artefact()
        return _digest(record, tensors)

    def require_of(self, corrections: Sequence[FittedCorrection]) -> None:
        """Refuse statistics of other corrections.

        Raises:
            OslerError: `model-hash-mismatch`.
        """
        if self.corrections != tuple(one.digest for one in corrections):
            raise OslerError(
                Code.MODEL_HASH_MISMATCH,
                f"The statistics of site {self.site!r} were measured for other corrections than the model has.",
                "Measure the site again with this model.",
            )

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {f"{place}.{key}": one[key] for place, one in enumerate(self.own) for key in one}
        return tensors, {"images": self.images, "corrections": list(self.corrections), "site": self.site}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Any], record: Mapping[str, Any]) -> SiteStatistics:
        """Build it from what was stored."""
        own: list[Statistics] = [{} for _ in record["corrections"]]
        for key, value in tensors.items():
            place, _, name = key.partition(".")
            own[int(place)][name] = value
        return cls(record["images"], tuple(own), tuple(record["corrections"]), record["site"])


def through_stage(
    corrections: Sequence[FittedCorrection], stage: Stage, batch: Any, own: SiteStatistics | None = None
) -> tuple[Any, dict[int, Statistics]]:
    """Match a batch by the corrections of a stage, one after the other.

    Args:
        corrections: All corrections of a pipeline.
        stage: The stage that the batch is at.
        batch: What corrections of that stage take.
        own: Statistics of the batch's site; measured from the batch itself where they are not given.

    Returns:
        The batch as the source would have it, and the statistics of each correction of the stage by its place.

    Raises:
        OslerError: `nothing-eligible` where there is a correction and the batch is empty.
    """
    taken: dict[int, Statistics] = {}
    for place, one in enumerate(corrections):
        if one.stage == stage:
            taken[place] = one.correction.measure(batch, one.reference) if own is None else own.own[place]
            if not _same(taken[place], one.reference):  # Spares the source even the rounding.
                batch = one.correction.match(batch, taken[place], one.reference)
    return batch, taken


def site_statistics(
    corrections: Sequence[FittedCorrection], taken: Mapping[int, Statistics], *, images: int, site: str = ""
) -> SiteStatistics:
    """Gather what the stages measured."""
    own = tuple(taken[place] for place in range(len(corrections)))
    return SiteStatistics(images, own, tuple(one.digest for one in corrections), site)


def _contiguous(statistics: Statistics) -> Statistics:
    # safetensors writes the memory of an array as it lies. A scalar stays one, which np.ascontiguousarray would not leave.
    return {key: np.array(value, order="C") for key, value in statistics.items()}


def _same(own: Statistics, reference: Statistics) -> bool:
    measured = own.keys() & reference.keys() - {"count"}
    return bool(measured) and all(np.array_equal(own[key], reference[key]) for key in measured)


def _digest(record: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    hashes = {
        key: [str(one.dtype), one.shape, hashlib.sha256(one.tobytes()).hexdigest()] for key, one in tensors.items()
    }
    return hashlib.sha256(json.dumps([record, hashes], sort_keys=True).encode()).hexdigest()
