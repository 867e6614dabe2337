"""Cells that values are counted in: the words of a vocabulary, or ranges between quantiles of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler_contracts.drift.fields import INVALID, MISSING, OTHER, Field
from osler_contracts.drift.observations import Numbers, Observations

QUANTILES = 10
# A measure with so few different values, such as a tube voltage, gets a cell for each.
FEW_VALUES = 12
# Ranges end this share of the reference's extent beyond it; what lies further out was never seen, and has a cell of its own.
FENCE = 0.25
# Cells that fewer units than this use, of both sides together, are pooled before anything is tested.
RARE = 5.0


@dataclass(frozen=True)
class Cells:
    """How a field is cut into cells.

    Attributes:
        words: Words that have a cell, for a vocabulary; whatever else comes is counted as `OTHER`.
        edges: Ascending edges, for a measure: cell i holds edges[i-1] <= x < edges[i].
    """

    words: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each cell, in the order of `place`."""
        if not self.edges:
            return (*self.words, OTHER, MISSING)
        inner = [f"{edge:.3g}" for edge in self.edges[1:-1]]
        middle = [f"{low} to {high}" for low, high in pairwise(inner)]
        seen = [f"up to {inner[0]}", *middle, f"from {inner[-1]}"] if inner else ["as ever"]
        return ("far below", *(seen if len(self.edges) > 1 else []), "far above", INVALID, MISSING)

    def place(self, values: Sequence[Any]) -> NDArray[np.int64]:
        """Return the cell of each value, (images,)."""
        if not self.edges:
            cell = {word: number for number, word in enumerate((*self.words, OTHER, MISSING))}
            return np.array([cell.get(value, len(self.words)) for value in values], dtype=np.int64)
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        cells = np.searchsorted(np.array(self.edges), numbers, side="right")
        cells[np.isnan(numbers)] = len(self.edges) + 1
        cells[[value is None for value in values]] = len(self.edges) + 2
        return cells.astype(np.int64)


def words_of(field: Field, observations: Observations, least: int) -> tuple[str, ...]:
    """Return the words that at least `least` units hold, by name."""
    pairs = {(word, unit) for word, unit in zip(observations.columns[field.name], observations.units, strict=True)}
    counts: dict[str, int] = {}
    for word, _ in pairs:
        counts[word] = counts.get(word, 0) + 1
    return tuple(sorted(word for word, count in counts.items() if count >= least and word not in (OTHER, MISSING)))


def edges_of(numbers: Numbers, weights: Numbers) -> tuple[float, ...]:
    """Return edges between quantiles of weighted numbers, with a fence around them; one edge at 0 where there are none."""
    if not len(numbers):
        return (0.0,)
    distinct = np.unique(numbers)
    low, high = float(distinct[0]), float(distinct[-1])
    reach = max(FENCE * (high - low), 1e-9 * max(abs(low), abs(high), 1.0))
    if len(distinct) <= FEW_VALUES:
        inner = (distinct[:-1] + distinct[1:]) / 2
    else:
        inner = np.unique(quantiles(numbers, weights, np.arange(1, QUANTILES) / QUANTILES))
    return tuple(float(edge) for edge in np.unique([low - reach, *inner, high + reach]))


def quantiles(numbers: Numbers, weights: Numbers, levels: Numbers) -> Numbers:
    """Return weighted quantiles: the least number whose share of the weight up to it reaches the level."""
    order = np.argsort(numbers, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    at = np.searchsorted(share, levels - 1e-12, side="left")
    return numbers[order][np.minimum(at, len(numbers) - 1)]


def unit_shares(observations: Observations, cells: NDArray[np.int64], count: int) -> Numbers:
    """Return the share of each unit's images in each cell, (units, cells); rows sum to 1."""
    shares = np.zeros((observations.count, count))
    np.add.at(shares, (observations.units, cells), 1.0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float64)


def pool_rare(total: Numbers, ordered: bool) -> NDArray[np.int64]:
    """Return the group of each cell, so that no group holds fewer than `RARE` units of both sides together.

    Ranges join their neighbours, words join other rare words. Only the sum of both sides decides, so that the groups say
    nothing about their difference; two groups at least are left where two cells are in use.
    """
    order = np.arange(len(total)) if ordered else np.argsort(total, kind="stable")
    groups = np.zeros(len(total), dtype=np.int64)
    group, held = 0, 0.0
    for cell in order:
        groups[cell] = group
        held += total[cell]
        if held >= RARE:
            group, held = group + 1, 0.0
    if 0 < held < RARE or (group and not held):
        groups[groups == group] = max(group - 1, 0)  # what was left over joins the group before
    if groups.max() == 0 and (total > 0).sum() > 1:
        return np.cumsum(total > 0) - 1
    return groups


def finite_numbers(field: Field, observations: Observations) -> tuple[Numbers, Numbers, int]:
    """Return the numbers of a measure, their weights (one a unit in all), and the number of units that have any."""
    values = observations.columns[field.name]
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    held = np.isfinite(numbers)
    units = observations.units[held]
    images = np.bincount(units, minlength=observations.count) if len(units) else np.zeros(0, dtype=np.int64)
    return numbers[held], 1.0 / images[units] if len(units) else np.zeros(0), int((images > 0).sum())
