"""The direct search of `tti_greedy` (methods, M2.2): edits of concepts by what they add to the likelihood of the shots.

An edit of one concept adds a rank-one term to the logits of all shots and leaves the terms of other concepts alone. So the
exponentials of all terms are taken once, and a step of many searches at a time is one matrix product and one logarithm.
Shapes: n shots, C concepts, K classes, M candidate edits, F searches that each leave out other shots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osler.adapt.changes import transform
from osler.adapt.tti_steps import Labels
from osler.bottleneck.records import Array, BoolArray

TIE = 1e-9  # Gains that differ by less are the same; the concept whose identifier comes first is taken.
_UNDERFLOW = 1e-280


@dataclass(frozen=True, eq=False)
class Candidates:
    """Edits of one concept each: a mask, or a gain; by concept identifier, the mask first.

    Attributes:
        concept: Place of each edit's concept (M,).
        gain: Its gain (M,), 1 where it is a mask.
        change: What it adds to the shots' logits (n, M, K).
    """

    concept: NDArray[np.intp]
    gain: Array
    change: Array

    @classmethod
    def of(
        cls,
        values: Array,
        weights: Array,
        ids: Sequence[str],
        gains: Sequence[float],
        *,
        neutral: Array,
        masked_to: Array,
        value_range: tuple[float, float] | None,
    ) -> Candidates:
        """Return the edits of concepts with values (n, C) under weights (K, C); `neutral`, `masked_to` (C,)."""
        order = sorted(range(len(ids)), key=lambda c: ids[c])
        concept = np.repeat(np.array(order, np.intp), 1 + len(gains))
        gain = np.tile([1.0, *gains], len(ids))
        mask = np.tile([True, *(False for _ in gains)], len(ids))
        here = values[:, concept]
        held = np.where(mask, masked_to[concept], neutral[concept])
        moved = transform(here, mask=mask, gain=gain, neutral=held, value_range=value_range)
        return cls(concept, gain, (moved - here)[:, :, None] * weights.T[concept])

    @property
    def mask(self) -> BoolArray:
        """Which are masks (M,)."""
        return np.asarray(self.gain == 1.0)


@dataclass(frozen=True)
class Found:
    """What one search chose: candidates in the order in which they were added, and the gain in likelihood of each."""

    chosen: tuple[int, ...]
    gains: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class LikelihoodSearch:
    """Greedy search for edits that raise the class-balanced mean log-likelihood of shots, less a penalty for each.

    Attributes:
        logits: Logits of the shots before any edit (n, K).
        y: Labels (n,).
        candidates: The edits.
        penalty: What each edit must add at least.
    """

    logits: Array
    y: Labels
    candidates: Candidates
    penalty: float

    def search(self, kept: BoolArray, allowed: BoolArray, limit: NDArray[np.intp]) -> list[Found]:
        """Search several times at once.

        Args:
            kept: Which shots each search sees (F, n); one of each class at least.
            allowed: Which candidates it may use (F, M).
            limit: How many edits it may make (F,).
        """
        shots = np.arange(len(self.y))
        change = self.candidates.change
        top = change.max(axis=2)
        factor = np.exp(change - top[:, :, None])
        weight = balanced(kept, self.y)
        own = weight @ (change[shots, :, self.y] - top)
        z = np.repeat(self.logits[None], len(kept), axis=0)
        open_to, found = allowed.copy(), [Found((), ()) for _ in kept]
        active = np.flatnonzero(limit > 0)
        while len(active):
            peak = z[active].max(axis=2)
            e = np.exp(z[active] - peak[:, :, None])
            spread = _log_sums(factor, e, z[active], change, peak, top)
            # The part that all candidates share, the true logit, is in both objectives and cancels in what is gained.
            before = (weight[active] * np.log(e.sum(axis=2))).sum(axis=1)
            after = np.einsum("fi,imf->fm", weight[active], spread)
            gained = before[:, None] + own[active] - after - self.penalty
            gained = np.where(open_to[active], gained, -np.inf)
            highest = gained.max(axis=1)
            best = (gained >= highest[:, None] - TIE).argmax(axis=1)
            going = highest > TIE
            for f, m, gain in zip(active[going], best[going], highest[going], strict=True):
                found[f] = Found((*found[f].chosen, int(m)), (*found[f].gains, float(gain + self.penalty)))
                z[f] += change[:, m]
                open_to[f] &= self.candidates.concept != self.candidates.concept[m]
            active = np.array([f for f in active[going] if len(found[f].chosen) < limit[f]], np.intp)
        return found


def _log_sums(factor: Array, e: Array, z: Array, change: Array, peak: Array, top: Array) -> Array:
    """Return `log sum_k exp(z + change)`, less the peaks of both (n, M, F)."""
    sums = np.matmul(factor, e.transpose(1, 2, 0))
    small = sums < _UNDERFLOW
    logs = np.log(np.where(small, 1.0, sums)) if small.any() else np.log(sums)
    for i, m, f in zip(*np.nonzero(small), strict=True):  # Peaks so far apart that no class is left in the product.
        logs[i, m, f] = np.logaddexp.reduce(z[f, i] + change[i, m]) - peak[f, i] - top[i, m]
    return np.asarray(logs)


def balanced(kept: BoolArray, y: Labels) -> Array:
    """Return the weight of each shot (F, n): each class counts alike, each shot within it too; 0 where it is left out."""
    per_class = kept.astype(float) @ np.eye(int(y.max()) + 1)[y]
    present = (per_class > 0).sum(axis=1)
    return np.where(kept, 1 / np.maximum(per_class[:, y], 1) / present[:, None], 0.0)


def folds(y: Labels, kept: BoolArray, most: int) -> BoolArray:
    """Return which of the kept shots (n,) each fold keeps (F, n): all save one of each class that has two or more.

    Args:
        y: Labels (n,).
        kept: Shots to divide.
        most: Most folds; beyond as many shots a class, a fold leaves out more than one of each.
    """
    place = np.full(len(y), -1)
    for k in np.unique(y[kept]):
        rows = np.flatnonzero(kept & (y == k))
        if len(rows) > 1:
            place[rows] = np.arange(len(rows)) % most
    each = [kept & (place != fold) for fold in range(place.max() + 1)]
    return np.array(each, np.bool_).reshape(-1, len(y))
