"""The bottleneck with a head that knows the labels alone: no prior, L2 of C = 1 as in scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field

from osler_training.fit.bottleneck import BottleneckClassifier, BottleneckRule, fit_bottleneck
from osler_training.fit.prior_head import PlainHeadRule
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options(BottleneckRule):
    """How it is fitted."""

    head: PlainHeadRule = field(default_factory=PlainHeadRule)


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it."""
    return fit_bottleneck(problem, options, seed=seed)
