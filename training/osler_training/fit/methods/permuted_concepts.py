"""Control: any method with the answers of its concepts exchanged, among concepts, among studies, or in the prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from osler_training.fit import controls
from osler_training.fit.methods import fit_method, parse_options
from osler_training.fit.problem import Classifier, Problem

MISSING_FEATURES = True  # the method that is wrapped decides


@dataclass(frozen=True)
class Options:
    """What is exchanged, in which method, with its options.

    Attributes:
        what: `concepts` grounds each concept on the answers of another; `prior` gives it the prior of another; `studies`
            shuffles the answers over the reference studies.
        of: The method that is put to the test.
        options: Its options.
    """

    what: Literal["concepts", "prior", "studies"] = "concepts"
    of: str = "bottleneck_prior"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_options(self.of, self.options)


def fit(problem: Problem, options: Options, *, seed: int) -> Classifier:
    """Fit the method on what is exchanged.

    Raises:
        OslerError: `usage` where one concept alone is to be exchanged.
    """
    exchanged = getattr(controls, f"permuted_{options.what}")(problem, seed=seed)
    return fit_method(options.of, exchanged, options.options, seed=seed)
