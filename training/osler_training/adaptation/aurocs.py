"""How well concepts are told at a site, before and after a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from osler.bottleneck.records import Array


@dataclass(eq=False)
class ConceptTruth:
    """What annotators saw of each concept of a test half.

    Attributes:
        answers: (n, C) in {0, 1, NaN}, in the bank's order.
    """

    answers: Array
    _known: dict[int, tuple[bytes, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Array) -> ConceptTruth | None:
        """Hold the answers, None where no concept is known both ways."""
        both = (answers == 0).any(0) & (answers == 1).any(0)
        return cls(answers) if both.any() else None

    @property
    def told(self) -> Sequence[int]:
        """Columns that are known both ways."""
        return [int(c) for c in np.flatnonzero((self.answers == 0).any(0) & (self.answers == 1).any(0))]

    def macro(self, values: Array) -> float:
        """Return the mean AUROC of the concepts (n, C); one that was held constant has a half.

        The last column of each concept is remembered, since most patches leave most concepts alone.
        """
        found = []
        for c in self.told:
            column = np.ascontiguousarray(values[:, c])
            content = column.tobytes()
            if c not in self._known or self._known[c][0] != content:
                known = ~np.isnan(self.answers[:, c])
                self._known[c] = (content, auroc(column[known], self.answers[known, c] == 1))
            found.append(self._known[c][1])
        return float(np.mean(found))


def auroc(values: Array, truth: np.ndarray) -> float:
    """Return the chance that a positive lies above a negative, ties counted half."""
    positive = int(truth.sum())
    ranks = rankdata(values)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))
