"""Moving features, one by one, from a site's mean and spread to the source's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from osler.bottleneck.protocols import Statistics
from osler.bottleneck.records import Array, Features
from osler.bottleneck.shrinkage import scale_between
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def rescaled(batch: Features, own: Statistics, reference: Statistics) -> Features:
    """Return the features with `mean` and `std` of the reference; tokens and steps move as the pooled features do.

    Raises:
        OslerError: `model-invalid` where the features are of another width.
    """
    require_width(batch, own)
    require_width(batch, reference)
    scale = scale_between(own["std"], reference["std"])

    def moved(x: Array) -> Array:
        return np.asarray((x - own["mean"]) * scale + reference["mean"])

    return replace(
        batch,
        pooled=moved(batch.pooled),
        tokens=None if batch.tokens is None else moved(batch.tokens),
        steps=None if batch.steps is None else moved(batch.steps),
    )


def require_width(batch: Features, statistics: Statistics) -> None:
    """Refuse features of another width than the statistics.

    Raises:
        OslerError: `model-invalid`.
    """
    width = len(statistics["mean"])
    if batch.pooled.shape[1] != width:
        raise OslerError(
            Code.MODEL_INVALID,
            f"Features of width {batch.pooled.shape[1]} meet statistics of width {width}.",
            "Use the encoder that the statistics were measured with.",
        )
