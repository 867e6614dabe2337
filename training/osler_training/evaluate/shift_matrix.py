"""Models of every site tested at every site: the matrix, and what it comes to away from home (M19.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, mean_of, patient_weights
from osler_training.evaluate.records import Records
from osler_training.evaluate.scoring import drawn

Cell = tuple[str, str]


@dataclass(frozen=True)
class ShiftMatrix:
    """One figure of models by site of training and site of test.

    Attributes:
        metric: Which figure.
        trained: Sites of training, the rows.
        tested: Sites of test, the columns.
        cells: The figure by (site of training, site of test); a model that was not tested somewhere has no cell there.
        studies: Number of test studies by cell.
    """

    metric: str
    trained: tuple[str, ...]
    tested: tuple[str, ...]
    cells: Mapping[Cell, Estimate]
    studies: Mapping[Cell, int]

    @property
    def away(self) -> list[Cell]:
        """The cells off the diagonal."""
        return [cell for cell in self.cells if cell[0] != cell[1]]

    @property
    def off_diagonal_mean(self) -> Estimate | None:
        """Mean over the cells off the diagonal; None where there are none."""
        return mean_of([self.cells[cell] for cell in self.away]) if self.away else None

    @property
    def off_diagonal_worst(self) -> Estimate | None:
        """Lowest figure off the diagonal, each replicate taking its own lowest; None where there are none.

        A lowest of several noisy figures lies below the figure of any one cell: its interval says so.
        """
        if not self.away:
            return None
        every = [self.cells[cell] for cell in self.away]
        return Estimate(min(one.value for one in every), np.min([one.replicates for one in every], axis=0))

    @property
    def worst_cell(self) -> Cell | None:
        """Where the lowest figure off the diagonal is."""
        return min(self.away, key=lambda cell: self.cells[cell].value) if self.away else None

    def to_record(self) -> dict[str, Any]:
        """Return the matrix as JSON."""

        def cell(one: Estimate | None) -> dict[str, float] | None:
            return None if one is None else {"value": one.value, "ci_low": one.ci[0], "ci_high": one.ci[1]}

        return {
            "metric": self.metric,
            "trained": list(self.trained),
            "tested": list(self.tested),
            "cells": [
                {"trained": a, "tested": b, "n": self.studies[a, b], **(cell(one) or {})}
                for (a, b), one in self.cells.items()
            ],
            "off_diagonal_mean": cell(self.off_diagonal_mean),
            "off_diagonal_worst": cell(self.off_diagonal_worst),
            "worst_cell": self.worst_cell,
        }


def shift_matrix(
    predictions: Mapping[str, Records],
    metric: str = "balanced_accuracy",
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> ShiftMatrix:
    """Return the matrix of one figure.

    The patients of a site of test are drawn alike for every model, so that cells of a column are paired.

    Args:
        predictions: By site of training, what that model predicted of test studies at any site; at home, of held-out ones.
        metric: A name that `scoring.score` knows.
        seed: Seed of the draw of patients.
        replicates: How many draws.

    Raises:
        OslerError: `nothing-eligible` where no model has a prediction.
    """
    tested = tuple(sorted({site for records in predictions.values() for site in records.sites}))
    if not tested:
        raise OslerError(Code.NOTHING_ELIGIBLE, "No model has predicted a study.", "Test the models first.")
    cells, studies = {}, {}
    for home, records in predictions.items():
        for site in tested:
            here = records.at(site)
            if len(here):
                weights = patient_weights(here.patients, seed=[seed, *site.encode()], replicates=replicates)
                cells[home, site], studies[home, site] = drawn(here, [metric], weights)[metric]
    return ShiftMatrix(metric, tuple(predictions), tested, cells, studies)
