"""What must hold before a patch is allowed to change anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from osler.adapt.changes import transform
from osler.adapt.patch import GuardOutcome, count_shots
from osler.bottleneck.records import Array, BoolArray, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Logits = Callable[[Array], Array]
Guard = Callable[[float], GuardOutcome]
SLACK = 1e-12  # What rounding may cost an accuracy.


class Change(Protocol):
    """What an adapter wants to change, before it becomes a patch.

    Of a head that is linear in concepts, a share of the change moves the logits by that share of the way.
    """

    @property
    def empty(self) -> bool:
        """Whether nothing is changed."""
        ...

    def logits(self, head: Logits, values: Array) -> Array:
        """Return the logits (n, K) of concept values (n, C) by a head, with the whole of the change."""
        ...


@dataclass(frozen=True, eq=False)
class Edit:
    """Masks, gains and shifts over all concepts (C,)."""

    mask: BoolArray
    gain: Array
    neutral: Array
    value_range: tuple[float, float] | None = None
    shift: Array | float = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing is changed."""
        return not (self.mask.any() or (self.gain != 1).any() or np.any(self.shift))

    def logits(self, head: Logits, values: Array) -> Array:
        """Return what the head makes of the patched values."""
        return head(
            transform(
                values,
                mask=self.mask,
                gain=self.gain,
                neutral=self.neutral,
                shift=self.shift,
                value_range=self.value_range,
            )
        )


@dataclass(frozen=True, eq=False)
class WeightEdit:
    """Weights (K, C) and biases (K,) that are added to the head's."""

    weights: Array
    bias: Array | float = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing is changed."""
        return not (self.weights.any() or np.any(self.bias))

    def logits(self, head: Logits, values: Array) -> Array:
        """Return what the changed head makes of the values."""
        return np.asarray(head(values) + values @ self.weights.T + self.bias)


def check_support(support: Support, classes: Sequence[str], min_shots: int) -> NDArray[np.intp]:
    """Return the support's labels where each class has its shots.

    Raises:
        OslerError: `support-insufficient`.
    """
    mend = f"Label at least {min_shots} studies of each of {', '.join(classes)} at site {support.site!r}."
    if support.y is None or len(support.y) != len(support.features):
        raise OslerError(Code.SUPPORT_INSUFFICIENT, "The support studies have no labels.", mend)
    if len(support.y) and not 0 <= support.y.min() <= support.y.max() < len(classes):
        raise OslerError(Code.SUPPORT_INSUFFICIENT, "A support study has a label that is no class of the model.", mend)
    shots = count_shots(list(support.y), classes)
    short = [f"{name} {count}" for name, count in shots.items() if count < min_shots]
    if short:
        message = f"The support has too few studies of {len(short)} of {len(classes)} classes ({', '.join(short)})."
        raise OslerError(Code.SUPPORT_INSUFFICIENT, message, mend)
    return support.y


def margins(logits: Array, y: NDArray[np.intp]) -> Array:
    """Return the margin (n,) of the true class over its best rival."""
    rows = np.arange(len(y))
    rest = logits.copy()
    rest[rows, y] = -np.inf
    return np.asarray(logits[rows, y] - rest.max(axis=1))


def class_balanced_mean(figures: Array, y: NDArray[np.intp]) -> float:
    """Return the mean over classes of the mean within each class."""
    return float(np.mean([figures[y == k].mean() for k in np.unique(y)]))


@dataclass(frozen=True, eq=False)
class LeaveOneShotOut:
    """Changes fitted without each shot, to be judged on the shot left out.

    The only shot of a class cannot be left out, so it is judged by the change of the whole support; the outcome says so.
    """

    values: Array
    y: NDArray[np.intp]
    edits: tuple[Change, ...]
    single: tuple[bool, ...]

    @classmethod
    def fit(
        cls, values: Array, y: NDArray[np.intp], fit: Callable[[Array, NDArray[np.intp]], Change], whole: Change
    ) -> LeaveOneShotOut:
        """Fit a change for each shot (n, C) of `values`; `whole` is that of all of them."""
        single = tuple(bool((y == k).sum() == 1) for k in y)
        kept = [np.arange(len(y)) != row for row in range(len(y))]
        edits = (whole if alone else fit(values[rows], y[rows]) for alone, rows in zip(single, kept, strict=True))
        return cls(values, y, tuple(edits), single)

    def guard(self, head: Logits) -> Guard:
        """Return the judge of whether the mean margin of the shots left out rises, each class counting alike."""
        before = head(self.values)
        after = np.concatenate(
            [edit.logits(head, row[None]) for edit, row in zip(self.edits, self.values, strict=True)], axis=0
        )
        how = "studies left out" + (", save the only one of a class" if any(self.single) else "")
        how = "the labelled studies themselves, too few to leave one out" if all(self.single) else how

        def judge(blend: float) -> GuardOutcome:
            were, are = (
                class_balanced_mean(margins(logits, self.y), self.y)
                for logits in (before, before + blend * (after - before))
            )
            sentence = f"The right finding's lead in {how}: {were:+.3f} before, {are:+.3f} after."
            return GuardOutcome("leave-one-shot-out", are > were, were, are, sentence)

        return judge


def source_guard(head: Logits, values: Array, y: NDArray[np.intp], change: Change, tolerance: float) -> Guard:
    """Return the judge of the accuracy on held-out source states if the patch were not confined to its site."""
    before, after = head(values), change.logits(head, values)

    def judge(blend: float) -> GuardOutcome:
        were, are = (
            float((logits.argmax(axis=1) == y).mean()) for logits in (before, before + blend * (after - before))
        )
        sentence = f"Accuracy on {len(y)} held-out source studies, ungated: {were:.1%} before, {are:.1%} after."
        return GuardOutcome("ungated-source", are >= were - tolerance - SLACK, were, are, sentence)

    return judge


def strongest(blends: Sequence[float], guards: Sequence[Guard]) -> tuple[float, tuple[GuardOutcome, ...]]:
    """Return the first blend that passes every guard, with what they measured; else 0, with what they measured first."""
    first: tuple[GuardOutcome, ...] = ()
    for blend in blends:
        outcomes = tuple(guard(blend) for guard in guards)
        if all(outcome.passed for outcome in outcomes):
            return blend, outcomes
        first = first or outcomes
    return 0.0, first
