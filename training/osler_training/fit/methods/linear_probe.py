"""Baseline: a linear probe on the same encoder, trained on the class labels."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.probe import Probe, fit_probe
from osler_training.fit.problem import Problem

MISSING_FEATURES = True


@dataclass(frozen=True)
class Options:
    """Strengths C to choose from on the select split."""

    Cs: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fit(problem: Problem, options: Options, *, seed: int) -> Probe:
    """Fit the probe; the solver is deterministic and the seed unused."""
    train = problem.train
    return fit_probe(train.features.pooled, train.y, problem.select, problem.calibrate, options.Cs)
