"""The concept bottleneck: groundings from reports, a linear head from labels, calibrated, with what it remembers (M1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Head, Scorer
from osler.bottleneck.records import Array, ConceptState, Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler.calibrate.temperature import fit_temperature
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_training.fit.grounding import Grounding, GroundingRule, fit_grounding
from osler_training.fit.group_head import fit_group_head
from osler_training.fit.prior_head import HeadRule, fit_head
from osler_training.fit.problem import Cohort, Problem, Reference
from osler_training.fit.text_space import Part, standardised, text_grounding


@dataclass(frozen=True)
class ConceptRule:
    """How features become concept values.

    Attributes:
        vectors: Where a concept's direction is from: `logistic` learns it on the reference, its values are probabilities;
            `text` is the embedding of the concept's text, its values are dot products, standardised on the training split.
        text: What is read of a concept where `text` is.
        grounding: How a direction is learned; its `best` holds for both.
    """

    vectors: Literal["logistic", "text"] = "logistic"
    text: Part = "name"
    grounding: GroundingRule = field(default_factory=GroundingRule)


@dataclass(frozen=True)
class BottleneckRule(ConceptRule):
    """How a bottleneck is fitted.

    Attributes:
        head: How the head is.
        group_dro: Whether it is fitted for the group of studies that fares worst, where groups are known.
    """

    head: HeadRule = field(default_factory=HeadRule)
    group_dro: bool = False


@dataclass(frozen=True)
class Concepts:
    """Concepts that could be grounded, how they are scored, and their values on the training split (n, C)."""

    bank: ConceptBank
    grounding: Grounding
    scorer: Scorer
    train: Array


@dataclass(frozen=True)
class BottleneckClassifier:
    """A fitted bottleneck; a fitted method."""

    pipeline: Pipeline
    grounding: Grounding
    fitted: Mapping[str, Any] = field(default_factory=dict)  # what a method adds to the record

    def probabilities(self, cohort: Cohort) -> Array:
        """Return calibrated class probabilities (n, K)."""
        output = self.pipeline.predict_features(cohort.features)
        return self.pipeline.calibration.probabilities(output.logits)

    def record(self) -> dict[str, Any]:
        """Return how the groundings went."""
        kept = [fit for fit in self.grounding.fits if not fit.skipped]
        return {
            "temperature": self.pipeline.calibration.temperature,
            "concepts": len(kept),
            "skipped": len(self.grounding.fits) - len(kept),
            **self.grounding.summary(),
            **self.fitted,
            "pipeline": self.pipeline.digest,
        }


def fit_bottleneck(problem: Problem, rule: BottleneckRule, *, seed: int, site: str = "source") -> BottleneckClassifier:
    """Fit a bottleneck.

    The held-out states that an adapter's guard will look at are those of the select and calibrate splits: the head chooses
    nothing on them.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where the encoder has no text space or
            the studies have no groups.
    """
    concepts = fit_concepts(problem, rule, seed=seed)
    prior, record = concepts.bank.prior_matrix(problem.classes), {}
    if rule.group_dro:
        head, found = fit_group_head(concepts.train, problem.train, prior, rule.head)
        record = found.record()
    else:
        head = fit_head(concepts.train, problem.train.y, prior, rule.head)
    return concluded(problem, concepts, head.W, head.b, record, seed=seed, site=site)


def fit_concepts(problem: Problem, rule: ConceptRule, *, seed: int) -> Concepts:
    """Fit what comes before a head.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where the encoder has no text space.
    """
    scorer: Scorer
    if rule.vectors == "text":
        grounding = text_grounding(problem, rule.text, unit(problem.reference.features)).keep_best(rule.grounding.best)
        scorer = standardised(grounding, unit(problem.train.features))
    else:
        grounding = grounded_some(problem, rule.grounding, seed=seed)
        scorer = LogisticScorer(grounding.ids, grounding.vectors, grounding.intercepts)
    bank = problem.bank.subset(grounding.ids)
    state = scorer.score(problem.train.features, bank)
    if isinstance(scorer, LogisticScorer):
        scorer = replace(scorer, percentiles=_percentiles(state))
    return Concepts(bank, grounding, scorer, state.static)


def concluded(
    problem: Problem,
    concepts: Concepts,
    W: Array,
    b: Array,
    fitted: Mapping[str, Any] | None = None,
    *,
    seed: int,
    site: str = "source",
) -> BottleneckClassifier:
    """Return the bottleneck of concepts and a linear head of weights (K, C) and bias (K,); `fitted` joins its record."""
    head = LinearHead(concepts.grounding.ids, W, b)
    pipeline = assemble(problem, concepts.bank, concepts.scorer, head, seed=seed, site=site)
    return BottleneckClassifier(pipeline, concepts.grounding, fitted or {})


def assemble(problem: Problem, bank: ConceptBank, scorer: Scorer, head: Head, *, seed: int, site: str) -> Pipeline:
    """Return the pipeline of a fitted scorer and head: calibrated, with what it remembers of the source.

    The held-out states are those of the select and calibrate splits; the temperature is fitted on the calibrate split.
    """
    train, select, calibrate = (
        scorer.score(one.features, bank) for one in (problem.train, problem.select, problem.calibrate)
    )
    logits = head.predict(calibrate, problem.calibrate.features).logits
    temperature = fit_temperature(logits, problem.calibrate.y)
    return Pipeline(
        encoder=problem.encoder,
        encoder_digest=problem.encoder.digest,
        bank=bank,
        scorer=scorer,
        head=head,
        classes=problem.classes,
        source=SourceReference.measure(
            bank.ids,
            train.static,
            problem.train.y,
            np.concatenate([select.static, calibrate.static]),
            np.concatenate([problem.select.y, problem.calibrate.y]),
            classes=len(problem.classes),
            site=site,
        ),
        calibration=Calibration(temperature, site=site, studies=len(problem.calibrate)),
        notes={"seed": seed},
        references=(FittedCorrection.at_source("feature_moments", problem.train.features),),
    )


def grounded_some(problem: Problem, rule: GroundingRule, *, seed: int) -> Grounding:
    """Return the groundings of the bank's concepts that could be grounded.

    Raises:
        OslerError: `nothing-eligible` where none could.
    """
    reference, ids = problem.reference, problem.bank.ids
    grounding = grounded(reference, ids, rule, seed=seed)
    if not grounding.ids:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"None of {len(ids)} concepts could be grounded on {len(reference.patients)} reference studies.",
            "Give more studies with reports, or lower `held_out_least`.",
        )
    return grounding


def grounded(reference: Reference, ids: tuple[str, ...], rule: GroundingRule, *, seed: int) -> Grounding:
    """Return the groundings of some concepts; those of the same studies, rule and seed are fitted once.

    Methods and levels of confounding that share a reference share its groundings, which take most of the time of a fit.
    """
    known = _GROUNDINGS.setdefault(reference, {})
    key = (ids, rule, seed)
    if key not in known:
        x = unit(reference.features)
        known[key] = fit_grounding(x, reference.concepts, reference.patients, ids, seed=seed, rule=rule)
    return known[key]


_GROUNDINGS: WeakKeyDictionary[Reference, dict[tuple[Any, ...], Grounding]] = WeakKeyDictionary()


def unit(features: Features) -> Array:
    """Return pooled features at unit length, as the scorer sees them (n, D)."""
    return np.asarray(features.pooled / np.maximum(np.linalg.norm(features.pooled, axis=1, keepdims=True), 1e-12))


def _percentiles(state: ConceptState) -> Array:
    if state.logit is None:
        raise ValueError("The scorer gave no logits")
    return np.percentile(state.logit[:, 0], [5, 95], axis=0).T
