"""What an adapter reads of a model whose head is linear in concepts: the head and the source, in the bank's order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.adapt.guards import Change, Guard, LeaveOneShotOut, source_guard
from osler.adapt.new_head import source_head
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler.bottleneck.source import SourceReference


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A frozen model, unpatched.

    Attributes:
        weights: Weights of the head (K, C).
        bias: Its bias (K,).
        source: What the model remembers of its source.
        neutral: Value of each concept that says nothing (C,).
        classes: Names of the classes.
        names: Names of the concepts.
        value_range: Range of concept values, or None.
        temperature: What logits are divided by before they are probabilities.
    """

    weights: Array
    bias: Array
    source: SourceReference
    neutral: Array
    classes: tuple[str, ...]
    names: tuple[str, ...]
    value_range: tuple[float, float] | None
    temperature: float

    @classmethod
    def of(cls, pipeline: Pipeline) -> LinearModel:
        """Read a pipeline.

        Raises:
            OslerError: `model-invalid` where its head is not linear in concepts, or sees more than concepts.
        """
        source = pipeline.source.aligned(pipeline.bank.ids)
        return cls(
            *source_head(pipeline),
            source,
            source.neutral,
            pipeline.classes,
            tuple(concept.name for concept in pipeline.bank.concepts),
            pipeline.scorer.value_range,
            pipeline.calibration.temperature,
        )

    def spoken(self, k: int) -> str:
        """Return the name of a class as sentences have it."""
        return self.classes[k].replace("_", " ")

    @property
    def ids(self) -> tuple[str, ...]:
        """The concepts."""
        return self.source.ids

    def logits(self, values: Array) -> Array:
        """Return logits (n, K) of concept values (n, C)."""
        return np.asarray(values @ self.weights.T + self.bias)

    def guards(self, change: Change, left_out: LeaveOneShotOut, tolerance: float) -> tuple[Guard, Guard]:
        """Return the guards of M2: the margin on shots left out, and the source if nothing were gated."""
        held = self.source
        return left_out.guard(self.logits), source_guard(self.logits, held.values, held.y, change, tolerance)
