"""Are the concepts that a model leans on right for the class, and present in the image? (M18, following arXiv 2501.19271)

Missing is not absent: a label of NaN is left out everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler.bottleneck.records import Array
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.localisation import mean_estimate
from osler_training.evaluate.metrics import Labels

LENGTHS = (1, 3, 5, 10)


@dataclass(frozen=True)
class GlobalImportance:
    """What `ConceptGlobalImportance` found.

    Attributes:
        by_concept: Cosine of each concept (C,), by measure; NaN where it is undefined.
        mean: Its mean over the concepts, by measure, with replicates.
        dropped: Classes of which no image was predicted right: no mean value of theirs is known.
    """

    by_concept: dict[str, Array]
    mean: dict[str, Estimate]
    dropped: tuple[int, ...]

    def histogram(self, measure: str, bins: int = 10) -> tuple[Array, Array]:
        """Return counts (bins,) and edges (bins + 1,) over [-1, 1] of one measure's cosines."""
        values = self.by_concept[measure]
        counts, edges = np.histogram(values[~np.isnan(values)], bins=bins, range=(-1, 1))
        return counts.astype(float), edges


@dataclass(frozen=True)
class ConceptGlobalImportance:
    """Cosines over the classes between what a model has of a concept and how often the concept is there.

    With `V` (K, C) the frequency of each concept among the images of each class, `U` its mean value among those that were
    predicted right, `W` the weights: GIM1 cos(W, V), GIM2 cos(U, V), GIM3 cos(W * U, V), a column at a time. `centred`
    variants subtract each column's mean over the classes first: two columns of positive numbers are always alike.
    """

    replicates: int = REPLICATES

    def compute(
        self,
        W: Array,
        values: Array,
        truth: Array,
        y: Labels,
        predicted: Labels,
        patients: Sequence[str],
        *,
        seed: int = 0,
    ) -> GlobalImportance:
        """Measure it.

        Args:
            W: Head weights (K, C).
            values: Concept values (n, C).
            truth: Concept labels (n, C) in {0, 1, NaN}, of each image, not of its class.
            y: True classes (n,).
            predicted: Predicted classes (n,).
            patients: Pseudonyms (n,).
            seed: Of the bootstrap.
        """
        weights = patient_weights(patients, seed=seed, replicates=self.replicates)
        right = y == predicted
        point = _cosines(W, values, truth, y, right, np.ones((1, len(y))))
        drawn = _cosines(W, values, truth, y, right, weights)
        mean = {name: Estimate(_mean(point[name])[0], _mean(drawn[name])) for name in point}
        dropped = tuple(k for k in range(len(W)) if not (right & (y == k)).any())
        return GlobalImportance({name: one[0] for name, one in point.items()}, mean, dropped)


def _cosines(W: Array, values: Array, truth: Array, y: Labels, right: Array, weights: Array) -> dict[str, Array]:
    """Return the cosines (R, C) of each measure under weights (R, n)."""
    K = len(W)
    known = ~np.isnan(truth)
    V = _by_class(np.where(known, truth, 0), known, np.eye(K)[y], weights)
    U = _by_class(values, np.ones_like(known), np.eye(K)[y] * right[:, None], weights)
    pairs = {"gim1": np.broadcast_to(W, V.shape), "gim2": U, "gim3": W * U}
    return {
        name + suffix: _cosine(first, V, centred=bool(suffix))
        for suffix in ("", "_centred")
        for name, first in pairs.items()
    }


def _by_class(values: Array, known: Array, member: Array, weights: Array) -> Array:
    """Return weighted means (R, K, C) of values (n, C) by class (n, K); NaN where a class has none."""
    each = weights[:, None, :] * member.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((each @ values) / (each @ known.astype(float)))


def _cosine(first: Array, second: Array, *, centred: bool) -> Array:
    """Return cosines (R, C) over the classes for which both are known; NaN where one of the two is zero throughout."""
    known = ~(np.isnan(first) | np.isnan(second))
    a, b = (np.where(known, one, 0) for one in (first, second))
    if centred:
        count = np.maximum(known.sum(1, keepdims=True), 1)
        a, b = (np.where(known, one - one.sum(1, keepdims=True) / count, 0) for one in (a, b))
    length = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.where(length > 1e-12, (a * b).sum(1) / np.maximum(length, 1e-12), np.nan)


def _mean(cosines: Array) -> Array:
    known = ~np.isnan(cosines)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, cosines, 0).sum(1) / known.sum(1))


@dataclass(frozen=True)
class ConceptExistence:
    """The share of the most contributing concepts, of those that are labelled, that are present in the image.

    Attributes:
        lengths: How many concepts are looked at, l; more than there are means all.
    """

    lengths: tuple[int, ...] = LENGTHS
    replicates: int = REPLICATES

    def compute(
        self, W: Array, values: Array, truth: Array, predicted: Labels, patients: Sequence[str], *, seed: int = 0
    ) -> dict[str, Estimate]:
        """Return `existence_l`, `chance` (concepts drawn among those that speak for the class) and `oracle_l`.

        Args:
            W: Head weights (K, C).
            values: Concept values (n, C).
            truth: Concept labels (n, C) in {0, 1, NaN}.
            predicted: Predicted classes (n,).
            patients: Pseudonyms (n,).
            seed: Of the bootstrap.
        """
        weights = patient_weights(patients, seed=seed, replicates=self.replicates)
        contribution = np.where(np.isnan(truth), -np.inf, W[predicted] * values)
        order = np.argsort(-contribution, axis=1, kind="stable")
        ranked = np.take_along_axis(truth, order, axis=1)
        best = -np.sort(-truth, axis=1)  # present first, then absent, unknown last
        scores = {"chance": _known_mean(np.where(W[predicted] > 0, truth, np.nan))}
        for length in self.lengths:
            scores[f"existence_{length}"] = _known_mean(ranked[:, :length])
            scores[f"oracle_{length}"] = _known_mean(best[:, :length])
        return {name: mean_estimate(one, weights) for name, one in scores.items()}


def _known_mean(rows: Array) -> Array:
    known = ~np.isnan(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, rows, 0).sum(1) / known.sum(1))
