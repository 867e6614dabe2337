"""The bottleneck whose head also knows which concepts medical text links to which finding."""

from __future__ import annotations

from dataclasses import dataclass, field

from osler_training.fit.bottleneck import BottleneckClassifier, BottleneckRule, fit_bottleneck
from osler_training.fit.prior_head import HeadRule
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options(BottleneckRule):
    """How it is fitted."""

    head: HeadRule = field(default_factory=lambda: HeadRule(strength=1.0))


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it."""
    return fit_bottleneck(problem, options, seed=seed)
