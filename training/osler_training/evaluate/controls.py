"""Controls of what concepts are worth: a bank of random directions, and concepts whose answers were shuffled (M19.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.records import Array, Features
from osler.bottleneck.scorers.margin import MarginScorer
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.bootstrap import REPLICATES, Estimate
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import compare

MARGIN = 0.02
Verdict = Literal["carries", "carries nothing", "undecided"]


def random_scorer(bank: ConceptBank, train: Features, *, seed: int, normalised: bool = True) -> MarginScorer:
    """Return a scorer whose concepts are random unit vectors, as many as the bank has; a head is fitted on it as on the real one.

    Args:
        bank: The concepts that it stands in for.
        train: Features of the training split, for the percentiles that clamping needs.
        seed: Seed of the directions.
        normalised: Whether features are divided by their norm, as for the real scorer.
    """
    vectors = np.random.default_rng(seed).normal(size=(len(bank.ids), train.pooled.shape[1]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blank = MarginScorer(bank.ids, vectors, np.zeros(len(vectors)), np.zeros((len(vectors), 2)), normalised)
    values = blank.score(train, bank).static
    return MarginScorer(bank.ids, vectors, blank.intercept, source_percentiles(values), normalised)


def permuted_truth(truth: Array, *, seed: int) -> Array:
    """Return concept labels (n, C) that were exchanged between studies, each concept by itself; what is missing stays missing.

    Prevalence is kept; what a concept has to do with its image is not.
    """
    shuffled = truth.copy()
    rng = np.random.default_rng(seed)
    for c in range(truth.shape[1]):
        known = np.flatnonzero(~np.isnan(truth[:, c]))
        shuffled[known, c] = truth[rng.permutation(known), c]
    return shuffled


@dataclass(frozen=True)
class Control:
    """A bottleneck against its control.

    Attributes:
        lead: The figure of the real concepts minus that of the control, paired.
        margin: By how much concepts must lead to mean anything.
    """

    lead: Estimate
    margin: float = MARGIN

    @property
    def within(self) -> bool:
        """Whether the control comes within the margin: the concepts are then not what carries the figure."""
        return self.lead.value < self.margin

    @property
    def verdict(self) -> Verdict:
        """What the interval of the lead allows to say."""
        low, high = self.lead.ci
        if low > self.margin:
            return "carries"
        return "carries nothing" if high < self.margin else "undecided"


def against_control(
    real: Records,
    control: Records,
    metric: str = "balanced_accuracy",
    *,
    seed: int,
    margin: float = MARGIN,
    replicates: int = REPLICATES,
) -> Control:
    """Compare a bottleneck with one of random or permuted concepts on the same studies.

    Raises:
        OslerError: `table-invalid` where the two do not hold the same studies.
    """
    return Control(compare(real, control, [metric], seed=seed, replicates=replicates)[metric], margin)
