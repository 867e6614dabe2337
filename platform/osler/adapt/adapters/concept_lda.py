"""`concept_lda`: the head replaced by Fisher's discriminant of the shots, its covariance shrunk towards the source's.

In units of the source's deviation within classes, with residuals r of n shots around the means m_k of their K classes:

    S = sum r r' / (n - K),   Sigma = (1 - d) S + d T,   W = M Sigma^-1,   b_k = -m_k' Sigma^-1 m_k / 2

with equal priors. The target T is the source's variance within classes (the identity, in these units) or the source's
covariance within classes, from its held-out studies. The weight d minimises the expected squared error of Sigma, as in
Ledoit and Wolf (2004), for a target that is known: d = sum_ij Var(S_ij) / sum_ij (S_ij - T_ij)^2, at most 1. Where each
class has one shot there are no residuals, and d is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.new_head import replaced_head, source_head
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import SourceUnits, shots
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LEAST = 0.01  # Weight of the target that is always there, so that the covariance has an inverse.


@dataclass(frozen=True)
class ConceptLda:
    """Shrunken linear discriminant analysis.

    Attributes:
        towards: What the covariance is shrunk towards: the source's `variance` or its `covariance` within classes.
        shrinkage: Weight of that, in (0, 1]; None estimates it.
        min_shots: Fewest shots a class.
    """

    towards: Literal["variance", "covariance"] = "variance"
    shrinkage: float | None = None
    min_shots: int = 1

    name: ClassVar[str] = "concept_lda"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise OslerError(Code.USAGE, f"A shrinkage of {self.shrinkage:g} is none.", "Give more than 0, at most 1.")

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        source_head(pipeline)
        values, y = shots(pipeline, support, self.min_shots)
        units = SourceUnits.within(pipeline)
        x = units(values)
        means = np.stack([x[y == k].mean(axis=0) for k in range(len(pipeline.classes))])
        target: Array = np.eye(x.shape[1])
        if self.towards == "covariance":
            target = source_covariance(pipeline, units)
        weight, covariance = shrunk(x - means[y], len(x) - len(means), target, self.shrinkage)
        weights, bias = units.unfolded(*discriminant(means, covariance))
        reason = f"Head replaced by the linear discriminant of {len(y)} labelled studies, its covariance {weight:.0%} the source's."
        return patch_of(
            self, pipeline, support, created=created, reason=reason, head=replaced_head(pipeline, weights, bias)
        )


def shrunk(residuals: Array, freedom: int, target: Array, weight: float | None = None) -> tuple[float, Array]:
    """Return the weight of the target and the shrunk covariance (C, C).

    Args:
        residuals: Studies less the mean of their class (n, C).
        freedom: Number of studies less that of classes.
        target: Covariance that it is shrunk towards (C, C).
        weight: Weight of the target; None estimates it.
    """
    if freedom < 1:
        return 1.0, target
    S = residuals.T @ residuals / freedom
    if weight is None:
        # sum_ij Var(S_ij), each entry a sum of n products; sum_ij of squared products is (r'r)^2.
        n = len(residuals)
        mean_square = ((residuals**2).sum(axis=1) ** 2).mean() * (n / freedom) ** 2
        variance = max(mean_square - float((S**2).sum()), 0.0) / n
        distance = float(((S - target) ** 2).sum())
        weight = float(np.clip(variance / distance, LEAST, 1.0)) if distance > 0 else 1.0
    return weight, (1 - weight) * S + weight * target


def discriminant(means: Array, covariance: Array) -> tuple[Array, Array]:
    """Return weights (K, C) and bias (K,) of the discriminant of equal priors."""
    weights = np.linalg.solve(covariance, means.T).T
    return weights, -0.5 * (weights * means).sum(axis=1)


def source_covariance(pipeline: Pipeline, units: SourceUnits) -> Array:
    """Return the covariance (C, C) within classes of the source's held-out studies, shrunk towards its variances."""
    source = pipeline.source.aligned(pipeline.bank.ids)
    x, y = units(source.values), source.y
    present = np.unique(y)
    means = {k: x[y == k].mean(axis=0) for k in present}
    residuals = x - np.stack([means[k] for k in y]) if len(x) else x
    return shrunk(residuals, len(x) - len(present), np.eye(x.shape[1]))[1]


ADAPTER = ConceptLda
