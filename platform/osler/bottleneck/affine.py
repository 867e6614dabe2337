"""Concept values that are affine in features: what linear scorers share."""

from __future__ import annotations

import numpy as np

from osler.bottleneck.records import Array, ConceptState, Features


def unit_norm(features: Features, normalised: bool) -> Array:
    """Return what features are divided by (B, 1): their L2 norm where they are `normalised`, else one."""
    if not normalised:
        return np.ones((len(features), 1))
    return np.asarray(np.maximum(np.linalg.norm(features.pooled, axis=1, keepdims=True), 1e-12))


def affine_state(
    features: Features, ids: tuple[str, ...], weights: Array, intercept: Array, *, normalised: bool
) -> ConceptState:
    """Return values `W x + b` (B, 1, C, 1), and maps (B, 1, C, h, w) where the features have tokens.

    Args:
        features: Features of B studies.
        ids: The concepts, in the order of the rows.
        weights: One vector a concept (C, D).
        intercept: (C,).
        normalised: Whether features are divided by their L2 norm first, tokens by that of their image.
    """
    norm = unit_norm(features, normalised)
    value = ((features.pooled / norm) @ weights.T + intercept)[:, None]
    maps = None
    if features.tokens is not None and features.grid is not None:
        seen = (features.tokens / norm[:, :, None]) @ weights.T + intercept
        maps = seen.transpose(0, 2, 1).reshape(len(features), 1, len(ids), *features.grid)
    return ConceptState(value=value[..., None], clamped=np.zeros(value.shape, np.bool_), ids=ids, maps=maps)
