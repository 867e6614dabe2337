"""What a patch adds that is computed from features: other concept vectors, and directions that no concept names (M15).

Both see the features as the scorer does, after the patch's corrections, divided by their norm where the scorer does so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from osler.adapt.changes import Matrix, Row, tuples
from osler.bottleneck.affine import affine_state, unit_norm
from osler.bottleneck.records import Array, ConceptState, Features, Output, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class ProjectionChange:
    """What is added to the vectors by which concepts are scored at a site.

    Attributes:
        ids: The concepts, in the order of the rows.
        weights: Added vectors (C, D): to concept logits where the scorer gives probabilities, else to values.
        bias: Added intercepts (C,).
        normalised: Whether features are divided by their L2 norm first, as the scorer does.
        sentences: What was changed, for review.
    """

    ids: tuple[str, ...]
    weights: Matrix
    bias: Row
    normalised: bool = True
    sentences: tuple[str, ...] = ()

    def added(self, state: ConceptState, features: Features) -> ConceptState:
        """Return a state with other logits, probabilities, values and maps.

        Raises:
            OslerError: `patch-invalid` where the features are of another width.
        """
        rows = columns(self.ids, state.ids, "patch")
        weights, bias = np.array(self.weights)[rows], np.array(self.bias)[rows]
        _require_width(features, weights)
        change = affine_state(features, state.ids, weights, bias, normalised=self.normalised)
        both = state.maps is not None and change.maps is not None
        maps = np.asarray(state.maps) + np.asarray(change.maps) if both else None
        if state.logit is None:
            return replace(state, value=state.value + change.value, maps=maps)
        logit = state.logit + change.value[..., 0]
        prob = expit(logit)
        return replace(state, value=prob[..., None], logit=logit, prob=prob, maps=maps)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ProjectionChange:
        """Build it from JSON."""
        return cls(**{key: tuples(value) for key, value in record.items()})


@dataclass(frozen=True)
class ResidualConcepts:
    """Directions of the features that conclude beside the concepts at a site: what they say stands in `residual_logits`.

    Attributes:
        directions: One direction each (r, D), of features of unit length.
        weights: Weights of what they give (K, r).
        bias: Added bias (K,).
        sentences: What each direction lies near, for review.
    """

    directions: Matrix
    weights: Matrix
    bias: Row
    sentences: tuple[str, ...] = ()

    def added(self, output: Output, features: Features) -> Output:
        """Return what is concluded with them.

        Features of width 0 stand for an image that nobody looked at: the residual is then zero, but it is there.

        Raises:
            OslerError: `patch-invalid` where the features are of another width.
        """
        beside = np.zeros_like(output.logits)
        if features.pooled.shape[1]:
            directions = np.array(self.directions)
            _require_width(features, directions)
            seen = features.pooled / unit_norm(features, True) @ directions.T
            beside = seen @ np.array(self.weights).T + np.array(self.bias)
        whole = beside if output.residual_logits is None else output.residual_logits + beside
        return replace(output, logits=output.logits + beside, residual_logits=whole)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ResidualConcepts:
        """Build it from JSON."""
        return cls(**{key: tuples(value) for key, value in record.items()})


def _require_width(features: Features, vectors: Array) -> None:
    if features.pooled.shape[1] != vectors.shape[1]:
        raise OslerError(
            Code.PATCH_INVALID,
            f"The patch reads features of width {vectors.shape[1]}, these have {features.pooled.shape[1]}.",
            "Predict from images or from the features of the model's encoder.",
        )
