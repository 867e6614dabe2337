"""A head whose weights are shares: each class spreads one scale over the concepts by a softmax (M4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, ConceptState, Features, Output
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class SoftmaxHead:
    """Class logits `scale * softmax(shares) a`, the softmax over the concepts of each class, and no bias.

    No weight is negative: that a concept is absent speaks for no class.

    Attributes:
        ids: The concepts, in the order of the columns.
        shares: What the softmax is of (K, C), K >= 2.
        scale: What the weights of a class add up to, above zero.
    """

    ids: tuple[str, ...]
    shares: Array
    scale: float

    def __post_init__(self) -> None:
        if self.shares.ndim != 2 or self.shares.shape[1] != len(self.ids) or len(self.shares) < 2 or not self.scale > 0:
            raise OslerError(
                Code.MODEL_INVALID,
                f"A head over {len(self.ids)} concepts got shares {self.shares.shape} and scale {self.scale}.",
                "Give (K, C) with K >= 2, and a scale above zero.",
            )

    @cached_property
    def linear(self) -> LinearHead:
        """The linear head that it is."""
        return LinearHead(self.ids, self.scale * softmax(self.shares, axis=1), self.bias)

    @property
    def bias(self) -> Array:
        """Zero for each class (K,)."""
        return np.zeros(len(self.shares))

    def predict(self, state: ConceptState, features: Features) -> Output:
        """Conclude; `contrib` sums to the logits.

        Raises:
            OslerError: `unknown-concept`.
        """
        return self.linear.predict(state, features)

    def weights(self) -> Array:
        """Weights (K, C): shares of the scale."""
        return self.linear.weight

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        return {"shares": self.shares}, {"ids": list(self.ids), "scale": self.scale}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> SoftmaxHead:
        """Build the head from what was stored."""
        return cls(tuple(record["ids"]), tensors["shares"], record["scale"])


HEAD = SoftmaxHead
