"""Measured concepts: a logistic regression a concept on standardised measurements, each readable by name (M1.3).

Unlike features of a network, measurements have units, outliers and gaps: they are standardised by what the source had,
what could not be measured takes a stored value, and nothing counts for more than a few deviations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank


@dataclass(frozen=True, eq=False)
class Standard:
    """How measurements are brought to one scale.

    Attributes:
        centre: What is taken off each measurement (D,).
        scale: What it is divided by (D,); below 1e-6 it is taken as 1.
        fill: Standardised value of what could not be measured (D,), finite.
        limit: Standardised values end at plus and minus this many units.
    """

    centre: Array
    scale: Array
    fill: Array
    limit: float = 3.0

    def __post_init__(self) -> None:
        shapes = {self.centre.shape, self.scale.shape, self.fill.shape}
        finite = all(np.isfinite(one).all() for one in (self.centre, self.scale, self.fill))
        if len(shapes) != 1 or self.centre.ndim != 1 or not finite or not self.limit > 0:
            raise OslerError(
                Code.MODEL_INVALID,
                f"Measurements are standardised by arrays of shape {sorted(shapes)} and a limit of {self.limit}.",
                "Give finite centre, scale and fill (D,) each, and a limit above 0.",
            )

    @classmethod
    def of(cls, values: Array, *, limit: float = 3.0) -> Standard:
        """Take median and interquartile range (over 1.349) of measurements (n, D); a gap takes the median.

        A measurement that mostly takes one value has no interquartile range: its standard deviation serves.
        """
        seen = np.where(np.isfinite(values), values, np.nan).astype(float)
        seen[:, np.isnan(seen).all(axis=0)] = 0.0
        low, centre, high = np.nanquantile(seen, [0.25, 0.5, 0.75], axis=0)
        scale = (high - low) / 1.3489795003921634
        scale = np.where(scale < 1e-6, np.nanstd(seen, axis=0), scale)
        return cls(np.asarray(centre), np.where(scale < 1e-6, 1.0, scale), np.zeros(values.shape[1]), limit)

    def apply(self, values: Array) -> Array:
        """Return standardised measurements (..., D), all of them finite.

        Raises:
            OslerError: `model-invalid` where the measurements are of another number.
        """
        if values.shape[-1] != len(self.centre):
            raise OslerError(
                Code.MODEL_INVALID,
                f"{values.shape[-1]} measurements meet a scorer of {len(self.centre)}.",
                "Use the encoder that the scorer was fitted with.",
            )
        known = np.isfinite(values)
        scale = np.where(self.scale < 1e-6, 1.0, self.scale)
        x = (np.where(known, values, 0.0) - self.centre) / scale
        return np.asarray(np.where(known, np.clip(x, -self.limit, self.limit), self.fill))


@dataclass(frozen=True, eq=False)
class MeasuredScorer:
    """Concept probabilities `σ(W z + b)` of standardised measurements z.

    Attributes:
        ids: The concepts, in the order of the rows.
        weights: One weight a concept and measurement (C, D).
        intercept: (C,).
        standard: How measurements become z.
        percentiles: As in the logistic scorer, or None.
        clamping: As in the logistic scorer.
    """

    ids: tuple[str, ...]
    weights: Array
    intercept: Array
    standard: Standard
    percentiles: Array | None = None
    clamping: str = "probability"

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.ids), len(self.standard.centre)) or not np.isfinite(self.weights).all():
            raise OslerError(
                Code.MODEL_INVALID,
                f"A scorer of {len(self.ids)} concepts on {len(self.standard.centre)} measurements got weights "
                f"{self.weights.shape}.",
                "Give finite weights (C, D).",
            )
        _ = self.logistic  # It refuses what does not fit.

    @cached_property
    def logistic(self) -> LogisticScorer:
        """What scores standardised measurements."""
        return LogisticScorer(
            self.ids, self.weights, self.intercept, self.percentiles, normalised=False, clamping=self.clamping
        )

    @property
    def value_range(self) -> tuple[float, float]:
        """Probabilities."""
        return (0.0, 1.0)

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order, from measurements (B, D) that may have gaps.

        Raises:
            OslerError: `unknown-concept`, `model-invalid`.
        """
        tokens = None if features.tokens is None else self.standard.apply(features.tokens)
        standardised = replace(features, pooled=self.standard.apply(features.pooled), tokens=tokens)
        return self.logistic.score(standardised, bank)

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) to `truth` (B, C) in [0, 1]; an all-false mask is the identity."""
        return self.logistic.clamp(state, mask, truth)

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors, record = self.logistic.to_artefact()
        del record["normalised"]
        tensors |= {name: getattr(self.standard, name) for name in ("centre", "scale", "fill")}
        return tensors, record | {"limit": self.standard.limit}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> MeasuredScorer:
        """Build the scorer from what was stored."""
        standard = Standard(tensors["centre"], tensors["scale"], tensors["fill"], record["limit"])
        return cls(
            tuple(record["ids"]),
            tensors["weights"],
            tensors["intercept"],
            standard,
            tensors.get("percentiles"),
            record["clamping"],
        )


SCORER = MeasuredScorer
