"""The bottleneck on measurements: concepts calibrated on what annotators saw, a linear head with a prior (M1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.bottleneck import BottleneckClassifier, assemble
from osler_training.fit.grounding import Grounding, GroundingRule, fit_grounding
from osler_training.fit.prior_head import HeadRule, fit_head, fit_prior_only
from osler_training.fit.problem import Problem, Reference


@dataclass(frozen=True)
class MeasuredGrounding(GroundingRule):
    """How concepts are calibrated: annotators see rare concepts too, and their number, not chance, limits a strength."""

    kept: int = 10_000
    rarest: float = 0.02
    Cs: tuple[float, ...] = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class MeasuredRule:
    """How a bottleneck on measurements is fitted.

    Attributes:
        grounding: How a concept is calibrated.
        head: How the head is fitted.
        limit: Standardised measurements end at plus and minus this many units.
        prior_only: Whether the head's weights are the prior times one scale (the control W = P), not fitted ones.
    """

    grounding: MeasuredGrounding = field(default_factory=MeasuredGrounding)
    head: HeadRule = field(default_factory=HeadRule)
    limit: float = 3.0
    prior_only: bool = False


def fit_measured(problem: Problem, rule: MeasuredRule, *, seed: int, site: str = "source") -> BottleneckClassifier:
    """Fit a bottleneck on measurements with names; gaps are allowed, as NaN.

    Raises:
        OslerError: `nothing-eligible` where no concept can be calibrated.
    """
    standard, grounding = calibrated(problem.reference, problem.bank.ids, rule, seed=seed)
    if not grounding.ids:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"None of {len(problem.bank.ids)} concepts could be calibrated on {len(problem.reference.patients)} images.",
            "Give more annotated images, or lower `held_out_least`.",
        )
    bank = problem.bank.subset(grounding.ids)
    scorer = MeasuredScorer(grounding.ids, grounding.vectors, grounding.intercepts, standard)
    train = scorer.score(problem.train.features, bank)
    prior = bank.prior_matrix(problem.classes)
    if rule.prior_only:
        head, _ = fit_prior_only(train.static, problem.train.y, prior, rule.head.C)
    else:
        head = fit_head(train.static, problem.train.y, prior, rule.head)
    logits = train.logit
    assert logits is not None  # The scorer gives them.
    scorer = replace(scorer, percentiles=source_percentiles(logits[:, 0]))
    linear = LinearHead(grounding.ids, head.W, head.b)
    gaps = float(np.mean(~np.isfinite(problem.train.features.pooled)))
    pipeline = assemble(problem, bank, scorer, linear, seed=seed, site=site)
    return BottleneckClassifier(pipeline, grounding, {"gaps": gaps})


def calibrated(
    reference: Reference, ids: tuple[str, ...], rule: MeasuredRule, *, seed: int
) -> tuple[Standard, Grounding]:
    """Return the standard of the reference's measurements and the calibrated concepts; the same are fitted once."""
    known = _CALIBRATED.setdefault(reference, {})
    key = (ids, rule.grounding, rule.limit, seed)
    if key not in known:
        standard = Standard.of(reference.features.pooled, limit=rule.limit)
        x = standard.apply(reference.features.pooled)
        grounding = fit_grounding(x, reference.concepts, reference.patients, ids, seed=seed, rule=rule.grounding)
        known[key] = standard, grounding
    return known[key]


_CALIBRATED: WeakKeyDictionary[
    Reference, dict[tuple[tuple[str, ...], MeasuredGrounding, float, int], tuple[Standard, Grounding]]
] = WeakKeyDictionary()
