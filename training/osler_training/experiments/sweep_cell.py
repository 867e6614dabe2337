"""One cell of a sweep: every method at one level of confounding, one seed and one nuisance."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.protocols import Encoder
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.splits import Splits, check_disjoint
from osler_training.experiments.confounded import predicted
from osler_training.experiments.confounding import Renderings
from osler_training.experiments.sweep_adaptation import adapt_cell
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Cohort, Problem, Reference
from osler_training.recipes.recipe import AdaptRule

TESTS = ("id", "balanced", "reversed")


@dataclass(frozen=True)
class Setting:
    """What the cells of one seed and one nuisance share.

    Attributes:
        classes: Names of the classes; the nuisance goes with the first.
        renderings: The patients with and without the nuisance.
        splits: Their splits.
        reference: Studies with reports, of other patients.
        bank: The concepts.
        encoder: The encoder.
        provenance: Where the data came from, kept with every cell.
        other_site: Studies of hospital B with the nuisance reversed, to adapt to; None where nothing is adapted.
    """

    classes: tuple[str, ...]
    renderings: Renderings
    splits: Splits
    reference: Reference
    bank: ConceptBank
    encoder: Encoder
    provenance: Mapping[str, Any]
    other_site: Cohort | None = None

    def problem(self, level: float, seed: int) -> tuple[Problem, dict[str, Cohort]]:
        """Return the problem at a level of confounding, with its test sets.

        Whoever carries the nuisance at a level carries it at every higher one too, so that levels differ in that alone.
        """
        both = self.renderings
        train, select, calibrate, inside = (
            both.confounded(self.splits[name], level, np.random.default_rng([seed, i]))
            for i, name in enumerate(("train", "select", "calibrate", "test"))
        )
        problem = Problem(self.classes, train, select, calibrate, self.reference, self.bank, self.encoder)
        rows = self.splits["test"]
        tests = {"id": inside, "balanced": both.balanced(rows), "reversed": both.reversed(rows)}
        check_disjoint(
            {
                "reference": self.reference.patients,
                **{name: getattr(problem, name).patients for name in ("train", "select", "calibrate")},
                "test": inside.patients,
            }
        )
        return problem, tests


def run_cell(
    setting: Setting,
    level: float,
    methods: Mapping[str, Mapping[str, Any]],
    lead: str,
    *,
    seed: int,
    adaptation: AdaptRule | None = None,
) -> dict[str, Any]:
    """Fit and test every method, and adapt the leading one where the level asks for it.

    Args:
        setting: The data.
        level: Confounding of train, select and calibrate.
        methods: Options by name of method.
        lead: The method whose lead over each other is measured, by paired bootstrap.
        seed: Seed of fits and bootstrap.
        adaptation: How to adapt `lead` to hospital B, at which levels.

    Returns:
        A JSON object: accuracy and lead with their intervals by method and test set, adaptation by its variants.
    """
    problem, tests = setting.problem(level, seed)
    accuracy: dict[str, dict[str, Estimate]] = {}
    seconds, fits = {}, {}
    adapted: dict[str, dict[str, Any]] = {}
    for name, options in methods.items():
        start = time.perf_counter()
        classifier = fit_method(name, problem, options, seed=seed)
        accuracy[name] = {test: predicted(classifier, cohort).estimate(seed=seed) for test, cohort in tests.items()}
        seconds[name], fits[name] = round(time.perf_counter() - start, 2), classifier.record()
        if name == lead and adaptation and level in adaptation.levels and setting.other_site is not None:
            adapted = adapt_cell(classifier, setting.other_site, tests["id"], adaptation, seed=seed)
    leads = {
        name: {test: _cell(accuracy[lead][test].minus(accuracy[name][test])) for test in TESTS}
        for name in methods
        if name != lead and lead in methods
    }
    return {
        "level": level,
        "seed": seed,
        "provenance": dict(setting.provenance),
        "accuracy": {name: {test: _cell(one) for test, one in row.items()} for name, row in accuracy.items()},
        "lead": leads,
        "adaptation": adapted,
        "fits": fits,
        "seconds": seconds,
    }


def _cell(one: Estimate) -> dict[str, Any]:
    return {"value": one.value, "ci": list(one.ci)}
