"""A bottleneck on named measurements: concepts calibrated on annotations, a head that knows the prior."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.measured import MeasuredRule, fit_measured
from osler_training.fit.problem import Problem

MISSING_FEATURES = True


@dataclass(frozen=True)
class Options(MeasuredRule):
    """How it is fitted."""


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `nothing-eligible` where no concept can be calibrated.
    """
    return fit_measured(problem, options, seed=seed)
