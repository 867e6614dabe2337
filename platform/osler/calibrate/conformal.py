"""Prediction sets by split conformal prediction (Vovk, Gammerman and Shafer 2005; Sadinle, Lei and Wasserman 2019).

A study's set holds the classes k with `1 - p_k <= q`, where q is an order statistic of `1 - p_y` over n labelled studies.
If those and a new study are exchangeable, the new one's class is in its set with chance at least `1 - alpha`. Over all
calibration sets, that is: given one of them the coverage is itself random, and follows Beta(n + 1 - l, l) with
`l = floor((n + 1) alpha)` where no two scores tie (Vovk 2012, proposition 2a).

`lac` has one q for all classes and covers the studies together; `class-conditional` has one q a class, from that class's
studies alone, and covers each class.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

METHODS = ("lac", "class-conditional")
# Below so many studies the coverage that was reached may be far from the one that was asked for, so its interval is told.
FEW = 100
COVER = 0.95
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reached:
    """The coverage that a set of calibration studies gives, as far as their number tells.

    Attributes:
        of: The class that it is of, or `all`.
        studies: Number of calibration studies n.
        left_out: The number l; the l-th greatest score is the threshold.
        low: 2.5th percentile of the coverage.
        high: 97.5th percentile of the coverage.
    """

    of: str
    studies: int
    left_out: int
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Mean coverage over all calibration sets of this size."""
        return (self.studies + 1 - self.left_out) / (self.studies + 1)


@dataclass(frozen=True)
class ConformalSets:
    """How prediction sets are made.

    Attributes:
        method: `lac` or `class-conditional`.
        coverage: The coverage that was asked for, 1 - alpha.
        temperature: Temperature of the probabilities that scores are made from. It is the model's own: one fitted on the
            calibration studies would make their scores unlike those of new ones.
        thresholds: The greatest score `1 - p_k` with which a class is in the set, by class.
        reached: What the number of calibration studies says of the coverage.
    """

    method: str
    coverage: float
    temperature: float
    thresholds: Mapping[str, float]
    reached: tuple[Reached, ...]

    def of(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        """Return the classes of one study's set, in the order of `probabilities`."""
        return tuple(one for one, p in probabilities.items() if 1.0 - p <= self.thresholds[one])


def studies_needed(coverage: float) -> int:
    """Return the smallest number of calibration studies with which a set can be other than all classes."""
    return max(math.ceil(1 / (1 - coverage) - _ROUNDING) - 1, 1)


def reached_coverage(studies: int, coverage: float, of: str = "all") -> Reached:
    """Return the 95% interval of Beta(n + 1 - l, l) for n calibration studies.

    Raises:
        OslerError: `support-insufficient` where l is 0: the threshold would be infinite.
    """
    left_out = math.floor((studies + 1) * (1 - coverage) + _ROUNDING)
    if left_out < 1:
        what = "calibration studies" if of == "all" else f"calibration studies of {of}"
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"A coverage of {coverage:.0%} cannot be had from {studies} {what}: every set would hold all classes.",
            f"Label {studies_needed(coverage)} at least, or ask for less with --coverage.",
        )
    low, high = beta(studies + 1 - left_out, left_out).interval(COVER)
    return Reached(of, studies, left_out, float(low), float(high))


def fit_sets(
    probabilities: Array,
    y: NDArray[np.intp],
    classes: Sequence[str],
    *,
    coverage: float,
    temperature: float = 1.0,
    method: str | None = None,
) -> ConformalSets:
    """Fit thresholds.

    Args:
        probabilities: Class probabilities (n, K) that do not depend on these studies' labels.
        y: Class indices (n,).
        classes: Names of the classes.
        coverage: The coverage that is asked for, in (0, 1).
        temperature: What the probabilities were made with, for the record.
        method: One of `METHODS`; by default `class-conditional` where each class has `FEW` studies, else `lac`.

    Raises:
        OslerError: `support-insufficient` with the number that is needed; `usage`.
    """
    if not 0 < coverage < 1:
        raise OslerError(Code.USAGE, f"A coverage of {coverage:g} is none.", "Give a number between 0 and 1.")
    counts = np.bincount(y, minlength=len(classes))
    chosen = method or ("class-conditional" if counts.min() >= FEW else "lac")
    if chosen not in METHODS:
        raise OslerError(Code.USAGE, f"{chosen!r} makes no prediction sets.", f"Use {' or '.join(METHODS)}.")
    scores = 1.0 - probabilities[np.arange(len(y)), y]
    if chosen == "lac":
        reached: tuple[Reached, ...] = (reached_coverage(len(y), coverage),)
        thresholds = dict.fromkeys(classes, threshold_of(scores, coverage))
    else:
        reached = tuple(reached_coverage(int(n), coverage, one) for n, one in zip(counts, classes, strict=True))
        thresholds = {one: threshold_of(scores[y == k], coverage) for k, one in enumerate(classes)}
    return ConformalSets(chosen, coverage, temperature, thresholds, reached)


def threshold_of(scores: Array, coverage: float) -> float:
    """Return the greatest score that keeps its label in the set: the n + 1 - l th of n in ascending order.

    A score's conformal p-value is `(1 + number of scores that are as great) / (n + 1)`; it is kept above 1 - coverage.
    """
    with warnings.catch_warnings():  # on import it changes which warnings are shown, for everyone
        from crepes import ConformalClassifier

    values = np.unique(scores)
    p = ConformalClassifier().fit(scores).predict_p(values[:, None], smoothing=False)[:, 0]
    return float(values[p > 1 - coverage + _ROUNDING].max())
