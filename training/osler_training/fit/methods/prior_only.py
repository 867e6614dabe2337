"""Ablation of M1: the bottleneck whose head is its prior, `W = s P`; labels choose one scale and the bias."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.bottleneck import BottleneckClassifier, ConceptRule, concluded, fit_concepts
from osler_training.fit.prior_head import fit_prior_only
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options(ConceptRule):
    """How it is fitted; `C` is the inverse strength of the L2 penalty on the weights."""

    C: float = 1.0


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded or the prior links none of them.
    """
    concepts = fit_concepts(problem, options, seed=seed)
    head, scale = fit_prior_only(
        concepts.train, problem.train.y, concepts.bank.prior_matrix(problem.classes), options.C
    )
    return concluded(problem, concepts, head.W, head.b, {"prior_scale": scale}, seed=seed)
