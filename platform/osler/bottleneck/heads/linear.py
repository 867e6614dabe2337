"""A head that is linear in concepts: its contributions are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, ConceptState, Features, Output, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Class logits `W a + b`.

    Attributes:
        ids: The concepts, in the order of the columns.
        weight: Class-major weights (K, C), K >= 2.
        bias: (K,).
    """

    ids: tuple[str, ...]
    weight: Array
    bias: Array

    def __post_init__(self) -> None:
        if self.weight.shape != (len(self.bias), len(self.ids)) or len(self.bias) < 2:
            raise OslerError(
                Code.MODEL_INVALID,
                f"A head over {len(self.ids)} concepts got weights {self.weight.shape} and biases {self.bias.shape}.",
                "Give (K, C) and (K,) with K >= 2; `LinearHead.from_binary` expands a single row.",
            )

    @classmethod
    def from_binary(cls, ids: tuple[str, ...], coefficients: Array, intercept: float) -> LinearHead:
        """Expand the one row (C,) of a binary solver to two classes: `[-w/2, +w/2]`."""
        w = np.asarray(coefficients).reshape(-1)
        return cls(ids, np.stack([-w / 2, w / 2]), np.array([-intercept / 2, intercept / 2]))

    def predict(self, state: ConceptState, features: Features) -> Output:
        """Conclude from a static state; `contrib` (B, K, C) is in the state's order and sums with the bias to the logits.

        Raises:
            OslerError: `unknown-concept`.
        """
        if set(state.ids) != set(self.ids):
            columns(state.ids, self.ids, "concept state")
        weight = self.weight[:, columns(self.ids, state.ids, "head")]
        contrib = weight[None] * state.static[:, None]
        return Output(logits=contrib.sum(-1) + self.bias, state=state, contrib=contrib)

    def weights(self) -> Array:
        """Weights (K, C)."""
        return self.weight

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        return {"weight": self.weight, "bias": self.bias}, {"ids": list(self.ids)}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> LinearHead:
        """Build the head from what was stored."""
        return cls(tuple(record["ids"]), tensors["weight"], tensors["bias"])


HEAD = LinearHead
