"""Baseline: a probe on the same encoder, trained on findings read from the reports that the groundings saw.

It shares the bottleneck's privilege, reports from elsewhere, without its concepts: what it lacks tells what concepts add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.probe import Probe, fit_probe
from osler_training.fit.problem import Problem

MISSING_FEATURES = True


@dataclass(frozen=True)
class Options:
    """Strengths C to choose from on the select split."""

    Cs: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fit(problem: Problem, options: Options, *, seed: int) -> Probe:
    """Fit the probe on the reports that name exactly one of the classes; the seed is unused.

    Raises:
        OslerError: `support-insufficient` where a class is never the only one named.
    """
    findings = problem.reference.findings
    clear = np.flatnonzero(~np.isnan(findings).any(1) & (np.nansum(findings, axis=1) == 1))
    y = findings[clear].argmax(1)
    if len(missing := set(range(len(problem.classes))) - set(y.tolist())):
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"No reference report names {', '.join(problem.classes[k] for k in sorted(missing))} alone.",
            "Give reference studies with every finding of the task.",
        )
    x = problem.reference.features.pooled[clear]
    return fit_probe(x, y, problem.select, problem.calibrate, options.Cs)
