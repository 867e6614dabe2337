"""Post-hoc bottleneck (M3): margins to concept activation vectors, and a head with an elastic net."""

from __future__ import annotations

from dataclasses import dataclass, field

from osler_training.fit.bottleneck import BottleneckClassifier, assemble
from osler_training.fit.grounding import GroundingRule
from osler_training.fit.margins import CAV, fit_margin_head
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options:
    """How the vectors are fitted, and the penalty of the head."""

    grounding: GroundingRule = field(default_factory=lambda: CAV)
    strength: float = 1e-5


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded.
    """
    fitted = fit_margin_head(problem, options.grounding, options.strength, seed=seed)
    pipeline = assemble(problem, fitted.bank, fitted.scorer, fitted.head, seed=seed, site="source")
    return BottleneckClassifier(pipeline, fitted.grounding, fitted.sparse.record())
