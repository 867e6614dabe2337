"""The slots of a method: a method is a choice for each, and a new one is one new file.

Rules: static is T = 1; heads receive `Features`; `clamp` is the only way to intervene; every change at a site is a patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, Output
from osler_knowledge.bank import ConceptBank

Tensors = dict[str, Array]
Record = dict[str, Any]
Statistics = dict[str, Array]
Stage = Literal["image", "feature", "probability"]


@runtime_checkable
class Encoder(Protocol):
    """Images to features; frozen."""

    @property
    def digest(self) -> str:
        """SHA-256 that names weights and preprocessing: the key of every feature cache."""
        ...

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images, each (H, W) or (H, W, 3) in [0, 1], dense tissue bright; with spatial `tokens` where asked."""
        ...


class Storable(Protocol):
    """A part of a bottleneck that is stored as tensors and JSON; its kind is the name of its module."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The concepts it knows."""
        ...

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        ...

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> Self:
        """Build it from what was stored."""
        ...


@runtime_checkable
class Scorer(Storable, Protocol):
    """Features to concepts (grounding)."""

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Range of the values it gives, or None where they have none."""
        ...

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order."""
        ...

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the concepts under `mask` (B, C) to `truth` (B, C) in [0, 1]; an all-false mask is the identity."""
        ...


@runtime_checkable
class Head(Storable, Protocol):
    """Concepts to class logits."""

    def predict(self, state: ConceptState, features: Features) -> Output:
        """Conclude from concepts, whatever their order."""
        ...

    def weights(self) -> Array | None:
        """Weights (K, C) in the order of `ids`, or None where the head is not linear in concepts."""
        ...


class StatePatch(Protocol):
    """A change at one site, from images to the head. Whatever it is given comes back as the very same object at any other site."""

    @property
    def site(self) -> str:
        """The site where it holds."""
        ...

    @property
    def id(self) -> str:
        """Its name: patches that do something else have another."""
        ...

    def apply_images(self, images: Sequence[Array], site: str | None) -> Sequence[Array]:
        """Return the images as the encoder should see them."""
        ...

    def apply_features(self, features: Features, site: str | None) -> Features:
        """Return the features as the scorer should see them."""
        ...

    def apply_state(self, state: ConceptState, site: str | None, features: Features | None = None) -> ConceptState:
        """Return the state as the head should see it; `features` are those that it was scored from."""
        ...

    def apply_output(self, output: Output, site: str | None, features: Features | None = None) -> Output:
        """Return what the changed head concludes; `features` are those that it was shown."""
        ...

    def apply_weights(self, weights: Array, ids: tuple[str, ...], site: str | None) -> Array:
        """Return the head's weights (K, C), in the order of `ids`, as they are at the site."""
        ...


@runtime_checkable
class Correction(Protocol):
    """What takes a site's own look off a batch without seeing a label, by statistics of the batch and of the source.

    What a batch is depends on the stage: a sequence of images, each (H, W) or (H, W, 3) in [0, 1]; `Features`; or calibrated
    class probabilities (B, K).
    """

    @property
    def stage(self) -> Stage:
        """Where it works: before the encoder, after it, or after the head."""
        ...

    def measure(self, batch: Any, reference: Statistics | None = None) -> Statistics:
        """Measure a batch; with a `reference`, what few studies say is shrunk towards it.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty, or has nothing to measure and there is no reference.
        """
        ...

    def match(self, batch: Any, own: Statistics, reference: Statistics) -> Any:
        """Bring a batch with statistics `own` to `reference`; the identity, up to rounding, where both are the same."""
        ...
