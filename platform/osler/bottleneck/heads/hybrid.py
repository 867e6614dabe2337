"""A linear head with a residual that sees the features themselves (M3, PCBM-h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from osler.bottleneck.affine import unit_norm
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, ConceptState, Features, Output
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class HybridHead:
    """Class logits `W a + b + R x + r`; what concepts explain is the first half, and the output says how much is not.

    Attributes:
        linear: The part that sees concepts.
        residual: Weights of features (K, D).
        residual_bias: (K,).
        normalised: Whether features are divided by their L2 norm first.
    """

    linear: LinearHead
    residual: Array
    residual_bias: Array
    normalised: bool = True

    def __post_init__(self) -> None:
        K = len(self.linear.bias)
        if self.residual.ndim != 2 or len(self.residual) != K or self.residual_bias.shape != (K,):
            raise OslerError(
                Code.MODEL_INVALID,
                f"A residual of {K} classes got weights {self.residual.shape} and biases {self.residual_bias.shape}.",
                "Give (K, D) and (K,).",
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """The concepts, in the order of the columns."""
        return self.linear.ids

    @property
    def bias(self) -> Array:
        """Bias of the part that sees concepts (K,)."""
        return self.linear.bias

    def predict(self, state: ConceptState, features: Features) -> Output:
        """Conclude; `contrib`, the bias and `residual_logits` sum to the logits.

        Features of width 0 stand for an image that nobody looked at: the residual is then zero, and concepts conclude alone.

        Raises:
            OslerError: `unknown-concept`.
        """
        output = self.linear.predict(state, features)
        beside = np.zeros_like(output.logits)
        if features.pooled.shape[1]:
            beside = features.pooled / unit_norm(features, self.normalised) @ self.residual.T + self.residual_bias
        return replace(output, logits=output.logits + beside, residual_logits=beside)

    def weights(self) -> Array:
        """Weights of concepts (K, C)."""
        return self.linear.weight

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors, record = self.linear.to_artefact()
        own = {"residual": self.residual, "residual_bias": self.residual_bias}
        return {**tensors, **own}, {**record, "normalised": self.normalised}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> HybridHead:
        """Build the head from what was stored."""
        linear = LinearHead.from_artefact(tensors, record)
        return cls(linear, tensors["residual"], tensors["residual_bias"], record["normalised"])


HEAD = HybridHead
