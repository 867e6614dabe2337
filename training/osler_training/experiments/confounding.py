"""The same patients with and without a nuisance, and the cohorts of any confounding that they make."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import BoolArray
from osler_training.fit.problem import Cohort


@dataclass(frozen=True)
class Renderings:
    """Patients rendered twice, row by row the same but for a nuisance.

    Attributes:
        off: Without the nuisance.
        on: With it.
    """

    off: Cohort
    on: Cohort

    def __post_init__(self) -> None:
        if self.off.patients != self.on.patients or not np.array_equal(self.off.y, self.on.y):
            raise ValueError("The two renderings must hold the same patients in the same order")

    def pick(self, rows: NDArray[np.intp], nuisance: BoolArray) -> Cohort:
        """Return rows with the nuisance where it is asked for (len(rows),)."""
        return joined(self.off.rows(rows[~nuisance]), self.on.rows(rows[nuisance]))

    def confounded(self, rows: NDArray[np.intp], level: float, rng: np.random.Generator) -> Cohort:
        """Return rows in which the nuisance goes with the first class.

        Args:
            rows: Which patients.
            level: 1: always and only with the first class; 0: with half of every class; -1: with every class but it.
            rng: Chooses who carries it; the shares are exact up to rounding.
        """
        nuisance = np.zeros(len(rows), dtype=bool)
        y = self.off.y[rows]
        for k in np.unique(y):
            members = rng.permutation(np.flatnonzero(y == k))
            share = (1 + level) / 2 if k == 0 else (1 - level) / 2
            nuisance[members[: round(share * len(members))]] = True
        return self.pick(rows, nuisance)

    def reversed(self, rows: NDArray[np.intp]) -> Cohort:
        """Return each patient once, the nuisance with every class but the first."""
        return self.pick(rows, self.off.y[rows] != 0)

    def balanced(self, rows: NDArray[np.intp]) -> Cohort:
        """Return each patient twice, with and without: whoever follows the nuisance gains nothing."""
        return joined(self.off.rows(rows), self.on.rows(rows))


def joined(first: Cohort, second: Cohort) -> Cohort:
    """Return the studies of two cohorts, one after the other."""
    images = None
    if first.images is not None and second.images is not None:
        images = np.concatenate([first.images, second.images])
    return replace(
        first,
        features=replace(
            first.features, pooled=np.concatenate([first.features.pooled, second.features.pooled]), tokens=None
        ),
        y=np.concatenate([first.y, second.y]),
        patients=first.patients + second.patients,
        images=images,
        study_uids=first.study_uids + second.study_uids,
    )
