"""Control of M1: plain logistic regression on the concepts' values; it knows no prior and penalises what is standardised."""

from __future__ import annotations

from dataclasses import dataclass, replace

from osler.bottleneck.records import Features
from osler_training.fit.bottleneck import BottleneckClassifier, ConceptRule, concluded, fit_concepts
from osler_training.fit.probe import fit_probe
from osler_training.fit.problem import Problem


@dataclass(frozen=True)
class Options(ConceptRule):
    """How concepts are grounded, and strengths C to choose from on the select split."""

    Cs: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it: the very probe of `linear_probe`, with concepts in place of features.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded.
    """
    concepts = fit_concepts(problem, options, seed=seed)
    select, calibrate = (
        replace(one, features=Features(concepts.scorer.score(one.features, concepts.bank).static))
        for one in (problem.select, problem.calibrate)
    )
    probe = fit_probe(concepts.train, problem.train.y, select, calibrate, options.Cs)
    return concluded(problem, concepts, probe.W, probe.b, probe.chosen, seed=seed)
