"""Concept values as the plain adapters read them: of all measured studies, in an order of their own, in source units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from osler.adapt.adapter import concept_values
from osler.adapt.guards import check_support
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Labels = NDArray[np.intp]
FLAT = 1e-6  # A spread below it is taken as 1, as everywhere.


def order_of(rows: Array) -> Labels:
    """Return an order of rows (n, D) that depends on nothing but what is in them.

    Sums depend on the order of what is added, so a patch would on the order in which studies came.
    """
    held = np.ascontiguousarray(rows)
    return np.array(sorted(range(len(held)), key=lambda row: held[row].tobytes()), np.intp)


def unlabelled(support: Support) -> Features:
    """Return the features of every measured study of the site, in an order of their own.

    Raises:
        OslerError: `support-insufficient` where there is none.
    """
    features = support.everything
    if not len(features):
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"No study of site {support.site!r} was measured.",
            "Give studies of the site; they need no labels.",
        )
    return features.rows(order_of(features.pooled))


def values_at(pipeline: Pipeline, support: Support, features: Features) -> Array:
    """Return unpatched concept values (m, C) of features, without the studies whose concepts could not be measured."""
    values = concept_values(pipeline, replace(support, features=features))
    return values[np.isfinite(values).all(axis=1)]


def site_values(pipeline: Pipeline, support: Support) -> Array:
    """Return unpatched concept values (m, C) of every study that was measured, in an order of their own.

    Raises:
        OslerError: `support-insufficient` where there is none.
    """
    values = values_at(pipeline, support, unlabelled(support))
    if not len(values):
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"No study of site {support.site!r} has concepts that could be measured.",
            "Give others: `osler archive list` names them.",
        )
    return values


def in_order(pipeline: Pipeline, support: Support, min_shots: int) -> Support:
    """Return a support with its labelled studies class by class, in an order of their own.

    Sums, and who is left out with whom, must depend neither on the order in which studies came nor on that of the bank.

    Raises:
        OslerError: `support-insufficient` where a class has fewer than `min_shots`.
    """
    y = check_support(support, pipeline.classes, min_shots)
    order = order_of(concept_values(pipeline, support)[:, np.argsort(np.array(pipeline.bank.ids))])
    order = order[np.argsort(y[order], kind="stable")]
    measured = unlabelled(support) if len(support.everything) else support.unlabelled  # before its order is lost
    return replace(support, features=support.features.rows(order), y=y[order], unlabelled=measured)


def shots(pipeline: Pipeline, support: Support, min_shots: int) -> tuple[Array, Labels]:
    """Return unpatched concept values (n, C) of the labelled studies, class by class, and their labels (n,).

    Raises:
        OslerError: `support-insufficient` where a class has fewer than `min_shots`.
    """
    ordered = in_order(pipeline, support, min_shots)
    assert ordered.y is not None
    return concept_values(pipeline, ordered), ordered.y


@dataclass(frozen=True, eq=False)
class SourceUnits:
    """Concept values in units of the source: `(a - mean) / std`, both (C,).

    Heads fitted in them treat concepts alike whatever their spread; `unfolded` brings such a head back to concept values.
    """

    mean: Array
    std: Array

    @classmethod
    def total(cls, pipeline: Pipeline) -> SourceUnits:
        """Return class-balanced mean and total deviation: within classes and between them."""
        source = pipeline.source.aligned(pipeline.bank.ids)
        variance = (source.std**2 + (source.mean - source.neutral) ** 2).mean(axis=0)
        return cls(source.neutral, _safe(np.sqrt(variance)))

    @classmethod
    def within(cls, pipeline: Pipeline) -> SourceUnits:
        """Return class-balanced mean and the deviation within classes."""
        source = pipeline.source.aligned(pipeline.bank.ids)
        return cls(source.neutral, _safe(np.sqrt((source.std**2).mean(axis=0))))

    def __call__(self, values: Array) -> Array:
        """Return values (n, C) in these units."""
        return np.asarray((values - self.mean) / self.std)

    def folded(self, weights: Array, bias: Array) -> tuple[Array, Array]:
        """Return a head (K, C), (K,) of concept values as one of these units, with the same logits."""
        return weights * self.std, bias + weights @ self.mean

    def unfolded(self, weights: Array, bias: Array) -> tuple[Array, Array]:
        """Return a head (K, C), (K,) of these units as one of concept values, with the same logits."""
        plain = weights / self.std
        return plain, bias - plain @ self.mean


def in_span(x: Array) -> tuple[Array, Array]:
    """Return x (n, D) as coordinates (n, r) on an orthonormal basis (r, D), r the smaller of n and D.

    What a penalty on squared weights chooses lies in the span of the rows it was fitted to, so a head of few shots and many
    concepts is found among as many numbers as there are shots, and is the same.
    """
    if len(x) >= x.shape[1]:
        return x, np.eye(x.shape[1])
    basis, coordinates = np.linalg.qr(x.T)
    return coordinates.T, basis.T


def _safe(std: Array) -> Array:
    return np.where(std < FLAT, 1.0, std)
