"""Concept activation vectors: the signed distance of an image to each concept's hyperplane (M3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.affine import affine_state
from osler.bottleneck.clamping import require_shapes, set_between
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank


@dataclass(frozen=True, eq=False)
class MarginScorer:
    """Signed margins `(v x + β) / |v|`: the length of a vector says nothing.

    Attributes:
        ids: The concepts, in the order of the rows.
        vectors: One vector a concept (C, D), none of them zero.
        intercept: (C,); zero for the text vectors of an encoder.
        percentiles: 5th and 95th percentile of each margin on the training split (C, 2): what absent and present mean when
            a concept is clamped.
        normalised: Whether features are divided by their L2 norm first.
    """

    ids: tuple[str, ...]
    vectors: Array
    intercept: Array
    percentiles: Array
    normalised: bool = True

    def __post_init__(self) -> None:
        require_shapes(self.ids, self.percentiles, self.vectors, intercept=self.intercept)
        if not np.linalg.norm(self.vectors, axis=1).all():
            raise OslerError(Code.MODEL_INVALID, "A concept's vector is zero.", "Leave that concept out of the bank.")

    @property
    def value_range(self) -> None:
        """Margins have no range."""
        return None

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order.

        Returns:
            Margins as values (B, 1, C, 1), and maps of them (B, 1, C, h, w) where the features have tokens.

        Raises:
            OslerError: `unknown-concept`.
        """
        rows = columns(self.ids, bank.ids, "scorer")
        vectors, intercept = self.vectors[rows], self.intercept[rows]
        length = np.linalg.norm(vectors, axis=1)
        return affine_state(
            features, bank.ids, vectors / length[:, None], intercept / length, normalised=self.normalised
        )

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) between the source's percentiles, by `truth` (B, C) in [0, 1]."""
        return set_between(state, mask, truth, self.percentiles[columns(self.ids, state.ids, "scorer")])

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {"vectors": self.vectors, "intercept": self.intercept, "percentiles": self.percentiles}
        return tensors, {"ids": list(self.ids), "normalised": self.normalised}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> MarginScorer:
        """Build the scorer from what was stored."""
        return cls(tuple(record["ids"]), **dict(tensors), normalised=record["normalised"])


SCORER = MarginScorer
