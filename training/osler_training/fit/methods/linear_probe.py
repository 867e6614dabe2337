"""Baseline: a linear probe on the same encoder, trained on the class labels."""

from __future__ import annotations

from dataclasses import dataclass

from osler_training.fit.checks import check_problem
from osler_training.fit.methods import group_dro_probe
from osler_training.fit.probe import Probe, fit_probe
from osler_training.fit.problem import Problem

MISSING_FEATURES = True


@dataclass(frozen=True)
class Options:
    """How it is fitted.

    Attributes:
        Cs: Strengths C to choose from on the select split.
        group_dro: Whether it is fitted for the group of studies that fares worst, where groups are known; the strength is
            then chosen by the worst group, and no feature may be missing.
    """

    Cs: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    group_dro: bool = False


def fit(problem: Problem, options: Options, *, seed: int) -> Probe:
    """Fit the probe; the solver is deterministic and the seed unused.

    Raises:
        OslerError: `part-missing` where groups are asked for and not known.
    """
    train = problem.train
    if options.group_dro:
        check_problem(problem)
        return group_dro_probe.fit(problem, group_dro_probe.Options(options.Cs), seed=seed)
    return fit_probe(train.features.pooled, train.y, problem.select, problem.calibrate, options.Cs)
