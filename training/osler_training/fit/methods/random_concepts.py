"""Control: any method on as many concepts that mean nothing, random directions of the features (M19.2).

Where it does as well as the method itself, concepts carry no meaning there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from osler_training.fit import controls
from osler_training.fit.methods import fit_method, parse_options
from osler_training.fit.problem import Classifier, Problem

MISSING_FEATURES = True  # the method that is wrapped decides


@dataclass(frozen=True)
class Options:
    """The method that is put to the test, and its options."""

    of: str = "bottleneck_prior"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_options(self.of, self.options)


def fit(problem: Problem, options: Options, *, seed: int) -> Classifier:
    """Fit the method without the meaning of its concepts."""
    return fit_method(options.of, controls.random_concepts(problem, seed=seed), options.options, seed=seed)
