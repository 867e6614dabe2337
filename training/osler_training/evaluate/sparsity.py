"""How many concepts a head needs: weights a class, contributions a study, accuracy at equal sparsity (M19.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, estimate, mean_of, patient_weights
from osler_training.evaluate.metrics import Labels, Metric, accuracy, ratio
from osler_training.fit.elastic_net import ALPHA, SHALLOWEST, SparseHead, fit_sparse_head, strongest

LEVELS = (5, 10, 15, 20, 25, 30)
COVERED = 0.95
VALUES, HALVINGS = 20, 4  # of the path, and of the step in which a level is passed


def effective_concepts(weights: Array, *, negligible: float = 0.0) -> float:
    """Return NEC of weights (K, C): the mean number of concepts a class that weigh more than `negligible` in absolute value."""
    return float((np.abs(weights) > negligible).sum(1).mean())


def concepts_to_cover(contrib: Array, share: float = COVERED) -> Array:
    """Return how many concepts (n,) make up a share of the absolute contributions (n, C) of each study; 0 where all are 0."""
    size = np.sort(np.abs(contrib), axis=1)[:, ::-1]
    total = size.sum(1, keepdims=True)
    short = np.cumsum(size, axis=1) < share * total - 1e-12 * total
    return np.where(total[:, 0] > 0, short.sum(1) + 1.0, 0.0)


def contributing_concepts(
    contrib: Array,
    predicted: Labels,
    patients: Sequence[str],
    *,
    seed: int,
    share: float = COVERED,
    replicates: int = REPLICATES,
) -> Estimate:
    """Return NCC: the mean number of concepts that cover a share of what speaks for or against the predicted class.

    Args:
        contrib: Contribution of each concept to each logit (n, K, C), as a head gives it.
        predicted: Predicted classes (n,).
        patients: Pseudonyms (n,).
        seed: Seed of the draw of patients.
        share: Which share.
        replicates: Draws of the bootstrap.
    """
    counts = concepts_to_cover(contrib[np.arange(len(predicted)), predicted], share)
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    return Estimate(float(counts.mean()), ratio(weights @ counts, weights.sum(1)))


@dataclass(frozen=True)
class Level:
    """The figure at one sparsity: the densest head of the path with at most `nec` concepts a class, and what it has."""

    nec: int
    found: float
    strength: float
    figure: Estimate


@dataclass(frozen=True)
class Sparsity:
    """Figures by number of effective concepts.

    Attributes:
        levels: One a level that the path reaches; a bank of fewer concepts than a level has none there.
        unreached: Levels that were asked for in vain.
    """

    levels: tuple[Level, ...]
    unreached: tuple[int, ...]

    @property
    def mean(self) -> Estimate:
        """ANEC: the mean over the levels that were reached. Compare it over the same levels only."""
        return mean_of([level.figure for level in self.levels])

    def to_record(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        mean = self.mean
        return {
            "levels": [
                {
                    "nec": one.nec,
                    "found": one.found,
                    "strength": one.strength,
                    "value": one.figure.value,
                    "ci_low": one.figure.ci[0],
                    "ci_high": one.figure.ci[1],
                }
                for one in self.levels
            ],
            "unreached": list(self.unreached),
            "anec": {"value": mean.value, "ci_low": mean.ci[0], "ci_high": mean.ci[1]},
        }


def accuracy_at_sparsity(
    heads: Mapping[int, SparseHead],
    a: Array,
    y: Labels,
    patients: Sequence[str],
    *,
    seed: int,
    levels: Sequence[int] = LEVELS,
    metric: Metric = accuracy,
    replicates: int = REPLICATES,
) -> Sparsity:
    """Return a figure at each number of effective concepts, of heads on the elastic-net path: what methods share is the head.

    The level chooses the head; no test study does.

    Args:
        heads: From `sparse_heads`.
        a: Concept values of the test studies (n, C), scaled as those that the heads were fitted on.
        y: Their classes (n,).
        patients: Their patients.
        seed: Seed of the draw of patients.
        levels: Which levels were asked for.
        metric: The figure.
        replicates: Draws of the bootstrap.

    Raises:
        OslerError: `nothing-eligible` where no level can be reached.
    """
    if not heads:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"No head over {a.shape[1]} concepts has {min(levels)} of them a class.",
            "Ask for fewer concepts a class.",
        )
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    found = []
    for level, head in heads.items():
        figure = estimate(metric, y, softmax(a @ head.W.T + head.b, axis=1), weights)
        found.append(Level(level, head.per_class, head.strength, figure))
    return Sparsity(tuple(found), tuple(level for level in levels if level not in heads))


def sparse_heads(
    a: Array, y: Labels, classes: int, levels: Sequence[int], *, alpha: float = ALPHA
) -> dict[int, SparseHead]:
    """Return for each level the densest head found with at most so many concepts a class; levels out of reach are left out.

    The path is walked from the strongest penalty until the last level is passed; the step that passes a level is halved. With
    K > 2 classes the path ends before every concept weighs in every class: of equal heads the sparsest shifts one to zero.

    Args:
        a: Concept values (n, C) that heads are fitted on, on comparable scales, as for any elastic net.
        y: Their classes (n,).
        classes: Number of classes K.
        levels: Numbers of effective concepts.
        alpha: Share of the L1 norm.

    Raises:
        OslerError: `usage` where a class has no example.
    """
    first = strongest(a, y, classes, alpha=alpha)
    walked: list[SparseHead] = []
    for strength in first * np.geomspace(1, SHALLOWEST, VALUES):
        start = walked[-1] if walked else None
        walked.append(fit_sparse_head(a, y, classes, float(strength), alpha=alpha, start=start))
        if walked[-1].per_class > max(levels):
            break
    found = {}
    for level in levels:
        within = [head for head in walked if head.per_class <= level]
        beyond = [head for head in walked if head.per_class > level]
        if beyond:
            found[level] = _between(a, y, classes, level, within[-1], beyond[0], alpha)
        elif within[-1].per_class == level:  # every concept, or as many as the path ends with
            found[level] = within[-1]
    return found


def _between(
    a: Array, y: Labels, classes: int, level: int, within: SparseHead, beyond: SparseHead, alpha: float
) -> SparseHead:
    for _ in range(HALVINGS):
        if within.per_class == level:
            break
        strength = float(np.sqrt(within.strength * beyond.strength))
        head = fit_sparse_head(a, y, classes, strength, alpha=alpha, start=within)
        within, beyond = (head, beyond) if head.per_class <= level else (within, head)
    return within
