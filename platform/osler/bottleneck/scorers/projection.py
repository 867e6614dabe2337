"""A learned projection of features to concepts, each standardised as at the source (M5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.affine import affine_state
from osler.bottleneck.clamping import require_shapes, set_between
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_knowledge.bank import ConceptBank


@dataclass(frozen=True, eq=False)
class ProjectionScorer:
    """Standardised projections `(w x - μ) / σ`; a negative one speaks for the concept's absence.

    Attributes:
        ids: The concepts, in the order of the rows.
        vectors: One vector a concept (C, D).
        mean: Mean of `w x` on the training split (C,).
        std: Its standard deviation (C,); below 1e-6 it is taken as 1.
        percentiles: 5th and 95th percentile of the standardised values on the training split (C, 2): what absent and present
            mean when a concept is clamped.
        normalised: Whether features are divided by their L2 norm first.
    """

    ids: tuple[str, ...]
    vectors: Array
    mean: Array
    std: Array
    percentiles: Array
    normalised: bool = True

    def __post_init__(self) -> None:
        require_shapes(self.ids, self.percentiles, self.vectors, mean=self.mean, std=self.std)

    @property
    def value_range(self) -> None:
        """Standardised values have no range."""
        return None

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order.

        Returns:
            Standardised projections (B, 1, C, 1), and maps of them (B, 1, C, h, w) where the features have tokens.

        Raises:
            OslerError: `unknown-concept`.
        """
        rows = columns(self.ids, bank.ids, "scorer")
        std = np.where(self.std < 1e-6, 1.0, self.std)[rows]
        vectors, intercept = self.vectors[rows] / std[:, None], -self.mean[rows] / std
        return affine_state(features, bank.ids, vectors, intercept, normalised=self.normalised)

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) between the source's percentiles, by `truth` (B, C) in [0, 1]."""
        return set_between(state, mask, truth, self.percentiles[columns(self.ids, state.ids, "scorer")])

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {name: getattr(self, name) for name in ("vectors", "mean", "std", "percentiles")}
        return tensors, {"ids": list(self.ids), "normalised": self.normalised}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> ProjectionScorer:
        """Build the scorer from what was stored."""
        return cls(tuple(record["ids"]), **dict(tensors), normalised=record["normalised"])


SCORER = ProjectionScorer
