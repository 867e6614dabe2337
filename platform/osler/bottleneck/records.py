"""The records that encoders, scorers, heads and adapters exchange.

Shapes: B batch, T steps, C concepts, m width of a concept's value, D feature width, K classes, N tokens. A static model
is T = 1; a scalar concept is m = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Array = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


def columns(have: tuple[str, ...], want: tuple[str, ...], holder: str) -> NDArray[np.intp]:
    """Return where each concept of `want` stands in `have`: what is stored per concept is found by its identifier.

    Args:
        have: Identifiers in the order of what is stored.
        want: Identifiers in the order that is asked for.
        holder: What the store is called in the error.

    Raises:
        OslerError: `unknown-concept`.
    """
    place = {one: number for number, one in enumerate(have)}
    missing = [one for one in want if one not in place]
    if missing:
        raise OslerError(
            Code.UNKNOWN_CONCEPT,
            f"The {holder} knows nothing of {', '.join(repr(one) for one in missing[:5])}.",
            "Use the concept bank that the model was fitted with.",
        )
    return np.array([place[one] for one in want], np.intp)


@dataclass(frozen=True)
class Features:
    """What an encoder saw.

    Attributes:
        pooled: Pooled features (B, D).
        tokens: Spatial features (B, N, D), row by row over `grid`, or None.
        grid: Height and width of the token grid, or None.
        steps: Features by step (B, T, D), or None.
        step_mask: Which steps exist (B, T), or None.
        text_space: Whether `pooled` lives in the space of the encoder's text embeddings.
    """

    pooled: Array
    tokens: Array | None = None
    grid: tuple[int, int] | None = None
    steps: Array | None = None
    step_mask: BoolArray | None = None
    text_space: bool = False

    def __len__(self) -> int:
        """Return B."""
        return len(self.pooled)

    def rows(self, index: NDArray[np.intp] | slice | BoolArray) -> Features:
        """Return the features of some rows."""
        return replace(
            self,
            pooled=self.pooled[index],
            tokens=None if self.tokens is None else self.tokens[index],
            steps=None if self.steps is None else self.steps[index],
            step_mask=None if self.step_mask is None else self.step_mask[index],
        )


@dataclass(frozen=True)
class ConceptState:
    """What a scorer made of it.

    Attributes:
        value: What the head receives (B, T, C, m).
        logit: Concept logits (B, T, C), or None.
        prob: Concept probabilities (B, T, C), or None.
        maps: Where each concept was seen (B, T, C, h, w), or None.
        clamped: Which values an intervention set (B, T, C).
        ids: Identifiers of the concepts, in the order of the columns.
        aux: What a method keeps beside.
    """

    value: Array
    clamped: BoolArray
    ids: tuple[str, ...]
    logit: Array | None = None
    prob: Array | None = None
    maps: Array | None = None
    aux: dict[str, Any] = field(default_factory=dict)

    @property
    def static(self) -> Array:
        """The values of a static scalar bottleneck, as (B, C)."""
        if self.value.shape[1] != 1 or self.value.shape[3] != 1:
            raise ValueError(
                f"The state has {self.value.shape[1]} steps of width {self.value.shape[3]}, expected 1 of 1"
            )
        return self.value[:, 0, :, 0]


@dataclass(frozen=True)
class Output:
    """What a head concluded.

    Attributes:
        logits: Class logits (B, K).
        state: The concept state that was used, possibly refined.
        contrib: Contribution of each concept to each logit (B, K, C); with the bias (and the residual) it sums to the
            logits. None where the head is not linear in concepts.
        residual_logits: What did not pass through concepts (B, K), or None.
    """

    logits: Array
    state: ConceptState
    contrib: Array | None = None
    residual_logits: Array | None = None


@dataclass(frozen=True)
class Support:
    """The few studies of a new site that an adapter sees.

    Attributes:
        features: Their features.
        y: Class index of each (n,), or None where the labels are hidden.
        site: Name of the site.
        concepts: Concept labels (n, C) in {0, 1, NaN}, or None.
        study_uids: Pseudonymous study UIDs, for the record of the patch.
        unlabelled: Features of studies of the site whose labels nobody asks for, those of the support among them or not; None
            where there are no more than the support.
        images: Images of the studies that are measured without labels, for what works before the encoder; None where nobody
            keeps them.
    """

    features: Features
    y: NDArray[np.intp] | None
    site: str
    concepts: Array | None = None
    study_uids: tuple[str, ...] = ()
    unlabelled: Features | None = None
    images: Sequence[Array] | None = None

    @property
    def everything(self) -> Features:
        """What is measured of the site without labels."""
        return self.features if self.unlabelled is None else self.unlabelled
