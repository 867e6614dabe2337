"""Clamping of concept values that are no probabilities: between what was low and what was high at the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from osler.bottleneck.records import Array, BoolArray, ConceptState
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LOW, HIGH = 5, 95


def source_percentiles(values: Array) -> Array:
    """Return the 5th and the 95th percentile of each concept (C, 2) of values (n, C) of the training split."""
    return np.percentile(values, [LOW, HIGH], axis=0).T


def set_between(state: ConceptState, mask: BoolArray, truth: Array, percentiles: Array) -> ConceptState:
    """Set the values under `mask` (B, C) between the percentiles (C, 2), low for a truth of 0 and high for 1.

    An all-false mask is the identity.

    Raises:
        ValueError: Where the truth of a clamped concept lies outside [0, 1].
    """
    mask, truth = mask[:, None], truth[:, None]
    if np.any(mask & ~((truth >= 0) & (truth <= 1))):
        raise ValueError("Truth of a clamped concept must lie in [0, 1]")
    low, high = percentiles.T
    wanted = low + np.where(mask, truth, 0) * (high - low)
    return replace(
        state,
        value=np.where(mask[..., None], wanted[..., None], state.value),
        clamped=state.clamped | mask,
    )


def require_shapes(ids: tuple[str, ...], percentiles: Array, vectors: Array, **columns: Array) -> None:
    """Require vectors (C, D), percentiles (C, 2), and of what else is stored per concept (C,).

    Raises:
        OslerError: `model-invalid`.
    """
    count = len(ids)
    found = {"vectors": vectors.shape, "percentiles": percentiles.shape}
    found |= {name: array.shape for name, array in columns.items()}
    wanted = {"vectors": (count, *vectors.shape[1:2]), "percentiles": (count, 2)}
    wanted |= dict.fromkeys(columns, (count,))
    if found != wanted or vectors.ndim != 2:
        said = ", ".join(f"{name} {shape}" for name, shape in found.items())
        raise OslerError(
            Code.MODEL_INVALID, f"A scorer of {count} concepts got {said}.", "Give (C, D), (C, 2), and (C,) each."
        )
