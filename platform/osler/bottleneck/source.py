"""What a model remembers of its source hospital: moments of concepts, and held-out concept values; no images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.clamping import HIGH, LOW
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SPANNED = 20  # Held-out studies of a class from which its own 5th and 95th percentile say something.


@dataclass(frozen=True, eq=False)
class SourceReference:
    """Class-conditional concept statistics of the source, against which a new site is compared.

    Attributes:
        ids: The concepts, in the order of the columns.
        mean: Mean of each concept in each class (K, C), from the training split.
        std: Standard deviation (K, C); below 1e-6 it is taken as 1.
        counts: Studies of each class (K,).
        values: Held-out concept values (n, C), for the guard of an adapter.
        y: Their classes (n,).
        site: Name of the source.
    """

    ids: tuple[str, ...]
    mean: Array
    std: Array
    counts: NDArray[np.intp]
    values: Array
    y: NDArray[np.intp]
    site: str = "source"

    @classmethod
    def measure(
        cls,
        ids: tuple[str, ...],
        values: Array,
        y: NDArray[np.intp],
        held_values: Array,
        held_y: NDArray[np.intp],
        *,
        classes: int,
        site: str = "source",
    ) -> SourceReference:
        """Measure it from concept values (n, C) of the training split and of a held-out one.

        Raises:
            OslerError: `support-insufficient` where a class has no study.
        """
        counts = np.bincount(y, minlength=classes)
        if (counts == 0).any():
            raise OslerError(
                Code.SUPPORT_INSUFFICIENT,
                f"The source has no study of {int((counts == 0).sum())} of {classes} classes.",
                "Fit with studies of every class.",
            )
        groups = [np.asarray(values)[y == k] for k in range(classes)]
        std = np.stack([group.std(axis=0) for group in groups])
        return cls(
            ids=ids,
            mean=np.stack([group.mean(axis=0) for group in groups]),
            std=np.where(std < 1e-6, 1.0, std),
            counts=counts,
            values=np.asarray(held_values),
            y=held_y,
            site=site,
        )

    @property
    def neutral(self) -> Array:
        """Class-balanced mean of each concept (C,): the value that says nothing."""
        return np.asarray(self.mean.mean(axis=0))

    @property
    def spanned(self) -> Array:
        """Values between which each concept lay at the source (C, 2): held-out 5th and 95th percentiles, by class.

        The lowest and the highest of all classes that have enough studies, so that the signs of a rare finding keep theirs;
        of all studies where no class has.
        """
        if not len(self.values):
            return np.tile([-np.inf, np.inf], (len(self.ids), 1))
        groups = [self.values[self.y == k] for k in range(len(self.counts))]
        large = [group for group in groups if len(group) >= SPANNED] or [self.values]
        ends = np.stack([np.percentile(group, [LOW, HIGH], axis=0) for group in large])
        return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)], axis=1)

    @property
    def class_prior(self) -> Array:
        """Share of each class in the training split (K,)."""
        return np.asarray(self.counts / self.counts.sum())

    def aligned(self, ids: tuple[str, ...]) -> SourceReference:
        """Return the same with its columns in the order of `ids`."""
        order = columns(self.ids, ids, "source reference")
        return replace(self, ids=ids, mean=self.mean[:, order], std=self.std[:, order], values=self.values[:, order])

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {name: getattr(self, name) for name in ("mean", "std", "counts", "values", "y")}
        return tensors, {"ids": list(self.ids), "site": self.site}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Any], record: Mapping[str, Any]) -> SourceReference:
        """Build the reference from what was stored."""
        return cls(ids=tuple(record["ids"]), site=record["site"], **dict(tensors))
