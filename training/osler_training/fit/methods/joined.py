"""Measured and learned concepts in one bottleneck, each read by the part of a joined encoder that reads it best."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.joined import JoinedRule, fit_joined
from osler_training.fit.problem import Problem

MISSING_FEATURES = True


@dataclass(frozen=True)
class Options(JoinedRule):
    """How it is fitted."""


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `usage` where the encoder is not a joined one; `nothing-eligible` where no concept can be grounded.
    """
    return fit_joined(problem, options, seed=seed)
