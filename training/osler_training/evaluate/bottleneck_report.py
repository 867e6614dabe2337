"""Everything M19 says of one fitted bottleneck beside its predictions, as JSON; what cannot be measured says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, ConceptState, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate
from osler_training.evaluate.concepts import best_thresholds
from osler_training.evaluate.correcting import Examined, Groups
from osler_training.evaluate.impurity import alignment, niche_impurity, oracle_impurity, represented
from osler_training.evaluate.interventions import intervention_curves
from osler_training.evaluate.leakage import residual_information, soft_hard_gap
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.evaluate.policies import POLICIES
from osler_training.evaluate.probes import Predict, standardiser
from osler_training.evaluate.sparsity import (
    LEVELS,
    accuracy_at_sparsity,
    contributing_concepts,
    effective_concepts,
    sparse_heads,
)
from osler_training.fit.elastic_net import SparseHead
from osler_training.fit.problem import Cohort

HALF = 0.5


@dataclass(frozen=True)
class ReportRule:
    """What is measured, and how.

    Attributes:
        policies: Policies of intervention.
        steps: Groups that are corrected one by one; None corrects each.
        orders: Orders of the random policy.
        groups: Concepts that are corrected together, by name of group.
        levels: Numbers of effective concepts at which figures are compared.
        purity: Measure OIS, NIS and CAS, which takes about a minute for 30 concepts and a thousand studies.
        replicates: Draws of the bootstrap.
    """

    policies: tuple[str, ...] = tuple(POLICIES)
    steps: int | None = 15
    orders: int = 20
    groups: Groups | None = None
    levels: tuple[int, ...] = LEVELS
    purity: bool = False
    replicates: int = REPLICATES


@dataclass(frozen=True, eq=False)
class BottleneckReport:
    """Measures one bottleneck.

    Attributes:
        pipeline: The bottleneck.
        concepts: Identifiers of the columns of the cohorts' concepts: the bank of their problem.
        train: What it was fitted on.
        select: What thresholds of concepts are chosen on.
        rule: What is measured.
        seed: Seed of every draw.
    """

    pipeline: Pipeline
    concepts: tuple[str, ...]
    train: Cohort
    select: Cohort
    rule: ReportRule
    seed: int

    def of(self, tests: Mapping[str, Cohort]) -> dict[str, Any]:
        """Return figures of the head, and of each test set by name.

        Figures of classes are balanced accuracies. Sparsity refits elastic-net heads on the training values: it speaks of the
        concepts, not of the head that is there.
        """
        weights = self.pipeline.head.weights()
        return {
            "nec": None if weights is None else effective_concepts(weights),
            "thresholds": self.thresholds,
            "tests": {name: self._test(name, cohort) for name, cohort in tests.items()},
        }

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """From which score each concept is called present: chosen on the select split, else a probability of a half."""
        state, truth = self.pipeline.state(self.select.features), self._truth(self.select)
        if truth is not None and not np.isnan(truth).all():
            return best_thresholds(truth, _scores(state), self.pipeline.bank.ids)
        return {} if state.prob is None else dict.fromkeys(self.pipeline.bank.ids, HALF)

    def _test(self, name: str, cohort: Cohort) -> dict[str, Any]:
        parts: dict[str, Callable[[str, Cohort], dict[str, Any]]] = {
            "ncc": self._ncc,
            "sparsity": self._sparsity,
            "interventions": self._interventions,
            "soft_hard": self._soft_hard,
            "residual_information": self._residual,
        }
        if self.rule.purity:
            parts["purity"] = self._purity
        return {"n": len(cohort), **{part: _or_why(measure, name, cohort) for part, measure in parts.items()}}

    def _ncc(self, name: str, cohort: Cohort) -> dict[str, Any]:
        output = self.pipeline.predict_features(cohort.features, site=name)
        if output.contrib is None:
            raise OslerError(Code.MODEL_INVALID, "The head is not linear in concepts.", "Use a linear one.")
        rule = {"seed": self.seed, "replicates": self.rule.replicates}
        return shown(contributing_concepts(output.contrib, output.logits.argmax(1), cohort.patients, **rule))

    @cached_property
    def _sparse(self) -> tuple[Predict, dict[int, SparseHead]]:
        values = self._values(self.train, None)
        scale = standardiser(values)
        return scale, sparse_heads(scale(values), self.train.y, len(self.pipeline.classes), self.rule.levels)

    def _sparsity(self, name: str, cohort: Cohort) -> dict[str, Any]:
        scale, heads = self._sparse
        return accuracy_at_sparsity(
            heads,
            scale(self._values(cohort, name)),
            cohort.y,
            cohort.patients,
            seed=self.seed,
            levels=self.rule.levels,
            metric=balanced_accuracy,
            replicates=self.rule.replicates,
        ).to_record()

    def _interventions(self, name: str, cohort: Cohort) -> dict[str, Any]:
        truth = self._known(cohort)
        rule, ids = self.rule, self.pipeline.bank.ids
        curves = intervention_curves(
            self.pipeline,
            Examined(cohort.features, cohort.y, cohort.patients, truth, ids, name),
            rule.policies,
            seed=self.seed,
            groups=rule.groups,
            steps=rule.steps,
            orders=rule.orders,
            balanced=True,
            replicates=rule.replicates,
        )
        return {policy: curve.to_record() for policy, curve in curves.items()}

    def _soft_hard(self, name: str, cohort: Cohort) -> dict[str, Any]:
        if not self.thresholds:
            raise OslerError(
                Code.PART_MISSING,
                "No threshold of a concept could be chosen.",
                "Annotate concepts of the select split.",
            )
        found = soft_hard_gap(
            self.pipeline,
            cohort.features,
            cohort.y,
            cohort.patients,
            self.thresholds,
            seed=self.seed,
            metric=balanced_accuracy,
            site=name,
            replicates=self.rule.replicates,
        )
        return {"soft": shown(found.soft), "hard": shown(found.hard), "gap": shown(found.gap)}

    def _residual(self, name: str, cohort: Cohort) -> dict[str, Any]:
        truth, values = self._known(cohort), self._values(cohort, name)
        found = residual_information(
            values, truth, cohort.y, cohort.patients, seed=self.seed, replicates=self.rule.replicates
        )
        return {"gain": shown(found.gain), "truth_alone": shown(found.truth_alone)}

    def _purity(self, name: str, cohort: Cohort) -> dict[str, Any]:
        truth = self._known(cohort)
        values = self.pipeline.state(cohort.features, site=name).value.mean(1)
        given = represented(values, truth, cohort.patients, self.pipeline.bank.ids)
        return {
            "ois": shown(oracle_impurity(given, seed=self.seed).score),
            "nis": shown(niche_impurity(given, seed=self.seed)),
            "cas": shown(alignment(given, seed=self.seed)),
            "left_out": list(given.left_out),
        }

    def _values(self, cohort: Cohort, site: str | None) -> Array:
        return self.pipeline.state(cohort.features, site=site).value.reshape(len(cohort), -1)

    def _truth(self, cohort: Cohort) -> Array | None:
        if cohort.concepts is None:
            return None
        return np.asarray(cohort.concepts[:, columns(self.concepts, self.pipeline.bank.ids, "cohort")])

    def _known(self, cohort: Cohort) -> Array:
        truth = self._truth(cohort)
        if truth is None or np.isnan(truth).all():
            raise OslerError(
                Code.PART_MISSING, "Nobody annotated the concepts of these studies.", "Test on annotated studies."
            )
        return truth


def shown(one: Estimate) -> dict[str, float | None]:
    """Return an estimate as JSON; None for what is undefined."""
    figures = {"value": one.value, "ci_low": one.ci[0], "ci_high": one.ci[1]}
    return {name: float(figure) if np.isfinite(figure) else None for name, figure in figures.items()}


def _or_why(measure: Callable[[str, Cohort], dict[str, Any]], name: str, cohort: Cohort) -> dict[str, Any]:
    try:
        return measure(name, cohort)
    except OslerError as error:
        return {"unmeasured": error.message}


def _scores(state: ConceptState) -> Array:
    return state.static if state.prob is None else state.prob[:, 0]
