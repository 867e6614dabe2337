"""Post-hoc bottleneck (M3): margins to concept activation vectors, and a head with an elastic net."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.bottleneck import BottleneckClassifier, assemble
from osler_training.fit.margins import MarginRule, fit_margin_head
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options(MarginRule):
    """How it is fitted."""


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where the encoder has no text space.
    """
    fitted = fit_margin_head(problem, options, seed=seed)
    pipeline = assemble(problem, fitted.bank, fitted.scorer, fitted.head, seed=seed, site="source")
    return BottleneckClassifier(pipeline, fitted.grounding, fitted.sparse.record())
