"""Baseline that knows groups: a linear probe fitted for the group that fares worst, such as a scanner or a sex."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import softmax

from osler.bottleneck.records import Array
from osler.calibrate.temperature import fit_temperature
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.group_dro import GroupRule, fit_group_dro
from osler_training.fit.probe import Probe
from osler_training.fit.problem import Cohort, Problem

NEEDS_GROUPS = True


@dataclass(frozen=True)
class Options:
    """Strengths C to choose from by the worst group of the select split, and how groups are reweighted."""

    Cs: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    rule: GroupRule = field(default_factory=GroupRule)


def fit(problem: Problem, options: Options, *, seed: int) -> Probe:
    """Fit the probe; the solver is deterministic and the seed unused.

    Raises:
        OslerError: `part-missing` where the train or select split has no groups.
    """
    train, select, calibrate = problem.train, problem.select, problem.calibrate
    if train.groups is None or select.groups is None:
        raise OslerError(
            Code.PART_MISSING,
            "Nothing says which group a study of the train and select splits belongs to.",
            "Name the attribute that makes the groups, or use linear_probe.",
        )
    x = train.features.pooled
    mean, std = x.mean(axis=0), x.std(axis=0)
    scale = np.where(std < 1e-6, 1.0, std)
    best: tuple[float, Probe] | None = None
    for C in options.Cs:
        found = fit_group_dro(
            (x - mean) / scale, train.y, train.groups, len(problem.classes), replace(options.rule, C=C)
        )
        W = found.head.W / scale
        probe = Probe(W, found.head.b - W @ mean, 1.0, {"C": C, "examples": len(x), **found.record()}, mean)
        loss = worst_loss(probe, select)
        if best is None or loss < best[0]:
            best = (loss, probe)
    if best is None:
        raise OslerError(Code.USAGE, "The probe has no strength to choose from.", "Give at least one under `Cs`.")
    loss, probe = best
    temperature = fit_temperature(probe.logits(calibrate.features.pooled), calibrate.y)
    return replace(probe, temperature=temperature, chosen={**probe.chosen, "select_worst_group_cross_entropy": loss})


def worst_loss(probe: Probe, cohort: Cohort) -> float:
    """Return the highest mean cross-entropy of a group."""
    if cohort.groups is None:
        raise ValueError("The cohort has no groups")
    prob: Array = softmax(probe.logits(cohort.features.pooled), axis=1)
    losses = -np.log(prob[np.arange(len(cohort)), cohort.y] + 1e-12)
    return float(max(losses[cohort.groups == group].mean() for group in np.unique(cohort.groups)))
