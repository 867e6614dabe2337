"""The heads between which `anchored_committee` chooses, each of which keeps another share of what the source knows.

The first is the source's head; the second lies t of the way from it to the mean of two heads that start at the source's, with
`t = n / (n + source_shots)`; the third is that mean itself; the fourth is the mean of two heads of the shots alone. All are
scaled to the source head's spread of logits over the site's studies, so that none is louder than another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from osler.adapt.adapter import concept_values
from osler.adapt.adapters.anchored_head import anchored
from osler.adapt.adapters.concept_lda import discriminant
from osler.adapt.adapters.logistic_shots import regressed
from osler.adapt.guards import WeightEdit, margins
from osler.adapt.linear_model import LinearModel
from osler.adapt.site_values import Labels, SourceUnits, site_values
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support

MEMBERS = ("the source's", "held close to it", "started from it", "of these studies alone")
OF_SOURCE = MEMBERS[:2]  # those that lean on the source's head as it stands
_TINY = 1e-12

Head = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Shots:
    """Labelled studies as concept values (n, C), class by class.

    Attributes:
        values: Concept values (n, C).
        y: Labels (n,).
        everything: Concept values of all measured studies of the site (m, C).
        spread: Spread of the source head's logits over them.
    """

    values: Array
    y: Labels
    everything: Array
    spread: float

    @classmethod
    def of(cls, pipeline: Pipeline, model: LinearModel, support: Support) -> Shots:
        """Score a support whose studies are in order and whose labels were checked."""
        assert support.y is not None
        everything = site_values(pipeline, support)
        return cls(concept_values(pipeline, support), support.y, everything, spread_of(model.logits(everything)))

    def bounded(self, logits: Array) -> Array:
        """Return `tanh(margin / spread)` (n,) of each labelled study by its logits (n, K)."""
        return np.asarray(np.tanh(margins(logits, self.y) / self.spread))

    def folds(self) -> Iterator[tuple[Labels, Labels]]:
        """Yield the places that are kept and left out: of each class one, the first, the second and so on."""
        turn = np.zeros(len(self.y), np.intp)
        for k in np.unique(self.y):
            turn[self.y == k] = np.arange((self.y == k).sum())
        for j in range(int(turn.max()) + 1):
            yield np.flatnonzero(turn != j), np.flatnonzero(turn == j)


@dataclass(frozen=True, eq=False)
class Committee:
    """The members for one model at one site.

    Attributes:
        model: The model, unpatched.
        within: Units of the source's deviation within classes.
        total: Units of its total deviation.
        covariance: Its covariance within classes (C, C), in the first units.
        shots: The labelled studies of the site.
        strength: Penalty of the regression near the source, times the number of concepts for its weights.
        prior_shots: Shots of a class that the source's mean counts as.
        prior_studies: Studies that the source's covariance within classes counts as.
        source_shots: Shots that the source's own head counts as, in the member that stays tied to it.
    """

    model: LinearModel
    within: SourceUnits
    total: SourceUnits
    covariance: Array
    shots: Shots
    strength: float
    prior_shots: float
    prior_studies: float
    source_shots: float

    def edits(self, values: Array, y: Labels) -> tuple[WeightEdit, ...]:
        """Return what each of `MEMBERS` adds to the head, fitted to shots (n, C) of which every class has one."""
        loose = self._mean((self.near_source(values, y), self.discriminant(values, y, self.prior_shots)))
        free = self._mean((self.total.unfolded(*regressed(self.total(values), y)), self.discriminant(values, y, 0.0)))
        share = len(y) / (len(y) + self.source_shots)
        return added(((0.0, loose),)), added(((share, loose),)), loose, free

    def left_out(self) -> Array:
        """Return logits of each shot by members fitted without it and one of each other class (members, n, K)."""
        values, y = self.shots.values, self.shots.y
        found = np.empty((len(MEMBERS), len(y), len(self.model.classes)))
        for kept, left in self.shots.folds():
            for member, edit in enumerate(self.edits(values[kept], y[kept])):
                found[member, left] = edit.logits(self.model.logits, values[left])
        return found

    def near_source(self, values: Array, y: Labels) -> Head:
        """Return logistic regression with a penalty on the way from the source's calibrated head."""
        temperature = self.model.temperature
        anchor = self.within.folded(self.model.weights / temperature, self.model.bias / temperature)
        moved = anchored(self.within(values), y, *anchor, self.strength * values.shape[1], self.strength)
        return self.within.unfolded(*moved)

    def discriminant(self, values: Array, y: Labels, prior_shots: float) -> Head:
        """Return the discriminant of the shots' means, to which the source's count as `prior_shots` shots each."""
        x, source = self.within(values), self.within(self.model.source.mean)
        counts = np.bincount(y, minlength=len(source))[:, None]
        sums = np.zeros_like(source)
        np.add.at(sums, y, x)
        means = (prior_shots * source + sums) / (prior_shots + counts)
        off, studies = x - means[y], self.prior_studies
        covariance = (studies * self.covariance + off.T @ off) / (studies + len(y))
        return self.within.unfolded(*discriminant(means, covariance))

    def _mean(self, heads: Sequence[Head]) -> WeightEdit:
        """Return what the mean of heads, each at the loudness of the source's, adds to it."""
        weights, bias = np.zeros_like(self.model.weights), np.zeros_like(self.model.bias)
        for head in heads:
            scale = self.shots.spread / spread_of(self.shots.everything @ head[0].T + head[1])
            weights += (scale * head[0] - self.model.weights) / len(heads)
            bias += (scale * head[1] - self.model.bias) / len(heads)
        return WeightEdit(weights, bias)


def added(parts: Sequence[tuple[float, WeightEdit]]) -> WeightEdit:
    """Return the sum of shares of edits."""
    weights = sum((share * edit.weights for share, edit in parts), np.zeros_like(parts[0][1].weights))
    return WeightEdit(weights, sum((share * np.asarray(edit.bias) for share, edit in parts), np.zeros(len(weights))))


def spread_of(logits: Array) -> float:
    """Return the mean distance of logits (n, K) from their mean over classes."""
    return float(np.abs(logits - logits.mean(axis=1, keepdims=True)).mean()) + _TINY
