"""How far two annotators agree on each concept: what they do not agree on, no model can be asked for (M19.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler.bottleneck.records import Array
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.metrics import ratio


@dataclass(frozen=True)
class Agreement:
    """Two annotators on one concept.

    Attributes:
        concept: Identifier.
        n: Studies that both answered.
        kappa: Cohen's kappa; NaN where both give every study the same answer.
        same: Share of equal answers.
    """

    concept: str
    n: int
    kappa: Estimate
    same: Estimate


def label_agreement(
    first: Array,
    second: Array,
    patients: Sequence[str],
    concepts: Sequence[str],
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> list[Agreement]:
    """Return the agreement on every concept that both annotators answered for some study.

    Args:
        first: Answers of one annotator (n, C) in {0, 1, NaN}.
        second: Those of the other (n, C).
        patients: Pseudonyms (n,).
        concepts: Identifiers (C,).
        seed: Seed of the draw of patients.
        replicates: Draws of the bootstrap.
    """
    rows = np.vstack([np.ones((1, len(patients))), patient_weights(patients, seed=seed, replicates=replicates)])
    found = []
    for c, concept in enumerate(concepts):
        both = ~np.isnan(first[:, c]) & ~np.isnan(second[:, c])
        if both.any():
            kappa, same = _kappa(first[both, c], second[both, c], rows[:, both])
            estimates = (Estimate(float(one[0]), one[1:]) for one in (kappa, same))
            found.append(Agreement(concept, int(both.sum()), *estimates))
    return found


def _kappa(a: Array, b: Array, weights: Array) -> tuple[Array, Array]:
    """Return Cohen's kappa and the share of equal answers under each row of weights (R,)."""
    total = weights.sum(1)
    same = ratio(weights @ (a == b).astype(float), total)
    first, second = (ratio(weights @ one, total) for one in (a, b))
    chance = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(chance < 1, (same - chance) / (1 - chance), np.nan)), same
