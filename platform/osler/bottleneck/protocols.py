"""The slots of a method: a method is a choice for each, and a new one is one new file.

Rules: static is T = 1; heads receive `Features`; `clamp` is the only way to intervene; every change at a site is a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, Output
from osler_knowledge.bank import ConceptBank


@runtime_checkable
class Encoder(Protocol):
    """Images to features; frozen."""

    @property
    def digest(self) -> str:
        """SHA-256 that names weights and preprocessing: the key of every feature cache."""
        ...

    def encode(self, images: Sequence[Array]) -> Features:
        """Encode images, each (H, W) or (H, W, 3) in [0, 1], dense tissue bright."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Features to concepts (grounding)."""

    def score(self, features: Features, bank: ConceptBank) -> ConceptState: ...

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) to `truth` (B, C) in [0, 1]; an all-false mask is the identity."""
        ...


@runtime_checkable
class Head(Protocol):
    """Concepts to class logits."""

    def predict(self, state: ConceptState, features: Features) -> Output: ...

    def weights(self) -> Array | None:
        """Weights (K, C), or None where the head is not linear in concepts."""
        ...
