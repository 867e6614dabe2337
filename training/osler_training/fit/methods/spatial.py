"""Concept maps pooled by attention: the map is the evidence (M10, SL-CBM)."""

from __future__ import annotations

from dataclasses import dataclass, field

from osler.bottleneck.heads.linear import LinearHead
from osler_training.fit.bottleneck import BottleneckClassifier, assemble
from osler_training.fit.grounding import Grounding
from osler_training.fit.prior_head import PlainHeadRule, fit_head
from osler_training.fit.problem import Problem
from osler_training.fit.spatial import SpatialRule, fit_maps, with_percentiles

NEEDS_TOKENS = True


@dataclass(frozen=True)
class Options(SpatialRule):
    """How it is fitted; the head is refitted by a deterministic solver when the maps are done."""

    head: PlainHeadRule = field(default_factory=PlainHeadRule)


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `part-missing` where the features have no tokens, `nothing-eligible` where no concept can be fitted.
    """
    maps = fit_maps(problem.reference, problem.train, problem.bank, len(problem.classes), options, seed=seed)
    bank = problem.bank.subset(maps.scorer.ids)
    scorer = with_percentiles(maps.scorer, problem.train.features, bank)
    values = scorer.score(problem.train.features, bank).static
    head = fit_head(values, problem.train.y, bank.prior_matrix(problem.classes), options.head)
    linear = LinearHead(bank.ids, head.W, head.b)
    grounding = Grounding(bank.ids, scorer.weights, scorer.intercept, maps.fits)
    return BottleneckClassifier(assemble(problem, bank, scorer, linear, seed=seed, site="source"), grounding)
