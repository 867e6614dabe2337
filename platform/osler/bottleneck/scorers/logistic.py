"""Grounding by one logistic regression a concept (M1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit

from osler.bottleneck.affine import affine_state
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

CLAMPINGS = ("probability", "percentile")
_FINITE = 1e-6


@dataclass(frozen=True, eq=False)
class LogisticScorer:
    """Concept probabilities `σ(W x + b)`.

    A fit on standardised features is stored folded: `W/σ` and `b - W μ/σ`.

    Attributes:
        ids: The concepts, in the order of the rows.
        weights: One vector a concept (C, D).
        intercept: (C,).
        percentiles: 5th and 95th percentile of each logit on the training split (C, 2), for clamping by percentile.
        normalised: Whether features are divided by their L2 norm first.
        clamping: `probability` sets a probability to the truth; `percentile` sets the logit between the percentiles.
    """

    ids: tuple[str, ...]
    weights: Array
    intercept: Array
    percentiles: Array | None = None
    normalised: bool = True
    clamping: str = "probability"

    def __post_init__(self) -> None:
        count = len(self.ids)
        shapes = (len(self.weights), self.weights.ndim, self.intercept.shape)
        fits = self.percentiles is None or self.percentiles.shape == (count, 2)
        if shapes != (count, 2, (count,)) or not fits or self.clamping not in CLAMPINGS:
            raise OslerError(
                Code.MODEL_INVALID,
                f"A scorer of {count} concepts got weights {self.weights.shape}, intercepts {self.intercept.shape}, "
                f"clamping {self.clamping!r}.",
                f"Give (C, D), (C,) and one of {', '.join(CLAMPINGS)}.",
            )
        if self.clamping == "percentile" and self.percentiles is None:
            raise OslerError(Code.MODEL_INVALID, "Clamping by percentile needs percentiles.", "Store them at fitting.")

    @property
    def value_range(self) -> tuple[float, float]:
        """Probabilities."""
        return (0.0, 1.0)

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order.

        Returns:
            Probabilities as values (B, 1, C, 1), and maps of logits (B, 1, C, h, w) where the features have tokens.

        Raises:
            OslerError: `unknown-concept`.
        """
        rows = columns(self.ids, bank.ids, "scorer")
        weights, intercept = self.weights[rows], self.intercept[rows]
        state = affine_state(features, bank.ids, weights, intercept, normalised=self.normalised)
        logits = state.value[..., 0]
        prob = expit(logits)
        return replace(state, value=prob[..., None], logit=logits, prob=prob)

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) to `truth` (B, C) in [0, 1]; an all-false mask is the identity."""
        if state.logit is None or state.prob is None:
            raise ValueError("The state has no logits and probabilities; it was not made by this scorer")
        mask, truth = mask[:, None], truth[:, None]
        if np.any(mask & ~((truth >= 0) & (truth <= 1))):
            raise ValueError("Truth of a clamped concept must lie in [0, 1]")
        if self.clamping == "percentile" and self.percentiles is not None:
            low, high = self.percentiles[columns(self.ids, state.ids, "scorer")].T
            wanted = low + np.where(mask, truth, 0) * (high - low)
            prob = expit(wanted)
        else:
            prob = np.where(mask, truth, 0)
            wanted = logit(np.clip(prob, _FINITE, 1 - _FINITE))
        return replace(
            state,
            value=np.where(mask[..., None], prob[..., None], state.value),
            prob=np.where(mask, prob, state.prob),
            logit=np.where(mask, wanted, state.logit),
            clamped=state.clamped | mask,
        )

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {"weights": self.weights, "intercept": self.intercept}
        if self.percentiles is not None:
            tensors["percentiles"] = self.percentiles
        return tensors, {"ids": list(self.ids), "normalised": self.normalised, "clamping": self.clamping}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> LogisticScorer:
        """Build the scorer from what was stored."""
        return cls(
            tuple(record["ids"]),
            tensors["weights"],
            tensors["intercept"],
            tensors.get("percentiles"),
            record["normalised"],
            record["clamping"],
        )


SCORER = LogisticScorer
