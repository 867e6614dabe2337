"""Features whitened with the site's covariance and recoloured with the source's (CORAL; Sun, Feng and Saenko 2016).

The published form recolours the source and trains again; here the site comes to the source, so that a fitted model stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from sklearn.covariance import ledoit_wolf, shrunk_covariance

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array, Features
from osler.bottleneck.shrinkage import KAPPA, blend, require_kappa, require_some, trust
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Variances below this are rounding; relative to the largest one, so that the unit of features is nothing.
_FLAT, _SMALL = 1e-12, 1e-10


@dataclass(frozen=True)
class Coral:
    """Second-order matching by site: means and the whole covariance.

    Attributes:
        shrinkage: Share of the identity (times the mean variance) in a covariance, in [0, 1]; `ledoit_wolf` chooses it for
            the least expected error (Ledoit and Wolf 2004), which a batch smaller than the width of features needs.
        kappa: Number of studies at which batch and source weigh the same; 0 trusts a batch of any size.
    """

    shrinkage: float | Literal["ledoit_wolf"] = "ledoit_wolf"
    kappa: float = KAPPA

    stage: ClassVar[Stage] = "feature"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)
        if self.shrinkage != "ledoit_wolf" and not 0 <= float(self.shrinkage) <= 1:
            raise OslerError(Code.USAGE, "A shrinkage is out of [0, 1].", "Give a share, or ledoit_wolf.")

    def measure(self, batch: Features, reference: Statistics | None = None) -> Statistics:
        """Return `mean` (D,), `covariance` (D, D) and `count`.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty; `input-range` where a feature is missing.
        """
        require_some(len(batch))
        x = np.asarray(batch.pooled, float)
        if not np.isfinite(x).all():
            raise OslerError(
                Code.INPUT_RANGE,
                "Some features are missing, and a covariance needs them all.",
                "Correct measured features by feature_moments.",
            )
        mean, covariance = x.mean(axis=0), self._covariance(x)
        if reference is not None:
            weight = trust(len(x), self.kappa)
            mean = blend(mean, reference["mean"], weight)
            covariance = blend(covariance, reference["covariance"], weight)
        return {"mean": mean, "covariance": covariance, "count": np.array(float(len(x)))}

    def _covariance(self, x: Array) -> Array:
        if len(x) == 1:
            return np.zeros((x.shape[1],) * 2)
        if self.shrinkage == "ledoit_wolf":
            return np.asarray(ledoit_wolf(x)[0])
        return np.asarray(shrunk_covariance(np.cov(x.T, bias=True).reshape((x.shape[1],) * 2), float(self.shrinkage)))

    def match(self, batch: Features, own: Statistics, reference: Statistics) -> Features:
        """Return the features with the reference's mean and covariance; tokens and steps move as pooled features do."""
        turn = _root(own["covariance"], -0.5) @ _root(reference["covariance"], 0.5)

        def moved(x: Array | None) -> Array | None:
            return None if x is None else np.asarray((x - own["mean"]) @ turn + reference["mean"])

        pooled = np.asarray((batch.pooled - own["mean"]) @ turn + reference["mean"])
        return replace(batch, pooled=pooled, tokens=moved(batch.tokens), steps=moved(batch.steps))


def _root(covariance: Array, power: float) -> Array:
    """Return a power of a symmetric matrix; what does not vary is floored, so that its inverse is finite."""
    values, vectors = np.linalg.eigh(covariance)
    floored = np.maximum(values, max(_FLAT, _SMALL * values[-1]))
    return np.asarray((vectors * floored**power) @ vectors.T)


CORRECTION = Coral
