"""What a patch may change at a site: images or features, concept values, or the head; each its own record, reported apart.

Numbers are held as tuples, so that records compare, hash and travel through JSON without losing a bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.corrections import parse_correction
from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array, BoolArray, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Row = tuple[float, ...]
Matrix = tuple[Row, ...]


def transform(
    values: Array,
    *,
    mask: BoolArray,
    gain: Array,
    neutral: Array,
    shift: Array | float = 0.0,
    blend: float = 1.0,
    value_range: tuple[float, float] | None = None,
) -> Array:
    """Return patched values (..., C): `(1-t) a + t a'`.

    `a'` is the neutral value where masked, else `neutral + gain (a + shift - neutral)`, clipped to the range of values.
    """
    moved = neutral + gain * (values + shift - neutral)
    if value_range is not None:
        moved = np.clip(moved, *value_range)
    return np.asarray((1 - blend) * values + blend * np.where(mask, neutral, moved))


@dataclass(frozen=True)
class ConceptDelta:
    """What a patch does to one concept.

    Attributes:
        neutral: Value that says nothing: the mean of the source.
        mask: Whether the concept is held at the neutral value.
        gain: Factor on the distance from the neutral value; an amplified concept has more than 1.
        shift: Added before.
        sentence: Why, for review.
        knots: Values at the site and the values of the source that they stand for, ascending; between them the way is
            straight, beyond them it goes on in parallel. It comes before shift and gain. Empty for none.
    """

    neutral: float
    mask: bool = False
    gain: float = 1.0
    shift: float = 0.0
    sentence: str = ""
    knots: tuple[tuple[float, float], ...] = ()

    def __str__(self) -> str:
        """Say what is done, briefly."""
        what = "masked" if self.mask else f"gain {self.gain:.3g}"
        what += f", shift {self.shift:+.3g}" if self.shift else ""
        return what + (f", mapped by {len(self.knots)} quantiles" if self.knots else "")

    @property
    def numbers(self) -> Row:
        """Every number in it."""
        return (self.neutral, self.gain, self.shift, *(number for knot in self.knots for number in knot))

    def mapped(self, values: Array) -> Array:
        """Return values (n,) where the knots put them."""
        if not self.knots:
            return values
        here, there = np.array(self.knots).T
        inside = np.interp(values, here, there)
        beyond = np.clip(values, here[0], here[-1])
        return np.asarray(inside + (values - beyond))


@dataclass(frozen=True)
class SiteCorrection:
    """A label-free correction of images or features with what the source and the site measured.

    Attributes:
        name: Name of the correction: its module.
        options: Its options.
        reference: Statistics of the source.
        own: Statistics of the site.
        studies: Number of the site's studies that were measured.
    """

    name: str
    options: dict[str, Any]
    reference: dict[str, Any]
    own: dict[str, Any]
    studies: int

    @classmethod
    def of(cls, fitted: FittedCorrection, own: Statistics, studies: int) -> SiteCorrection:
        """Hold what a correction measured."""
        return cls(fitted.name, dict(fitted.options), _held(fitted.reference), _held(own), studies)

    @cached_property
    def stage(self) -> Stage:
        """Where it works."""
        return parse_correction(self.name, self.options).stage

    def match(self, batch: Any) -> Any:
        """Return images or features of the site as the source would have them."""
        return parse_correction(self.name, self.options).match(batch, _arrays(self.own), _arrays(self.reference))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SiteCorrection:
        """Build it from JSON."""
        statistics = {name: {key: tuples(one) for key, one in record[name].items()} for name in ("reference", "own")}
        return cls(**{**record, **statistics})


@dataclass(frozen=True)
class HeadChange:
    """What is added to the head's weights and bias at a site.

    Attributes:
        classes: The classes, in the order of the rows.
        ids: The concepts, in the order of the columns.
        weights: Added weights (K, C).
        bias: Added bias (K,).
        sentences: What was changed, for review.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    weights: Matrix
    bias: Row
    sentences: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls, classes: Sequence[str], ids: Sequence[str], weights: Array, bias: Array, sentences: Sequence[str] = ()
    ) -> HeadChange:
        """Hold added weights (K, C) and bias (K,)."""
        if weights.shape != (len(classes), len(ids)) or bias.shape != (len(classes),):
            raise ValueError(f"weights {weights.shape} and bias {bias.shape} for {len(classes)} x {len(ids)}")
        return cls(tuple(classes), tuple(ids), tuples(weights), tuples(bias), tuple(sentences))

    def added(self, ids: tuple[str, ...]) -> tuple[Array, Array]:
        """Return what is added to weights (K, C), in the order of `ids`, and bias (K,)."""
        return np.array(self.weights)[:, columns(self.ids, ids, "patch")], np.array(self.bias)

    @property
    def changes_nothing(self) -> bool:
        """Whether it adds zeros."""
        return not (np.any(self.weights) or np.any(self.bias))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> HeadChange:
        """Build it from JSON."""
        return cls(**{key: tuples(value) for key, value in record.items()})


def tuples(value: Any) -> Any:
    """Return nested lists or an array as nested tuples."""
    if isinstance(value, np.ndarray | np.generic):
        return tuples(value.tolist())
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def require_finite(numbers: Any, what: str) -> None:
    """Refuse numbers that are none.

    Raises:
        OslerError: `patch-invalid`.
    """
    if not np.isfinite(np.asarray(numbers, float)).all():
        raise OslerError(
            Code.PATCH_INVALID, f"The patch has numbers in its {what} that are not finite.", "Fit it again."
        )


def _held(statistics: Statistics) -> dict[str, Any]:
    return {key: tuples(np.asarray(one)) for key, one in statistics.items()}


def _arrays(statistics: Mapping[str, Any]) -> Statistics:
    return {key: np.asarray(one, float) for key, one in statistics.items()}
