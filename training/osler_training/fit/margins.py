"""What PCBM and PCBM-h share: concept activation vectors, and a sparse head on the margins to them (M3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.scorers.margin import MarginScorer
from osler_knowledge.bank import ConceptBank
from osler_training.fit.bottleneck import grounded_some
from osler_training.fit.elastic_net import SparseHead, fit_sparse_head
from osler_training.fit.grounding import ConceptFit, Grounding, GroundingRule
from osler_training.fit.problem import Problem
from osler_training.fit.text_space import text_vectors


@dataclass(frozen=True)
class VectorRule(GroundingRule):
    """How concept activation vectors are fitted: on 50 images of each answer, with as many held out.

    The source takes the best of C = 0.01 and 0.1 by held-out accuracy; here a cross-validation chooses, so that the held-out
    accuracy stays a measurement. Features of unit length want larger values too.
    """

    kept: int = 100
    held_out_share: float = 0.5
    Cs: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    classifier: Literal["logistic", "svm"] = "svm"


@dataclass(frozen=True)
class MarginRule:
    """How the bottleneck before a residual is fitted.

    Attributes:
        vectors: Where a concept's direction is from: `activation` learns it on the reference, `text` is the embedding of the
            concept's name, and needs an encoder with a text space.
        grounding: How a direction is learned.
        strength: Penalty of the head.
    """

    vectors: Literal["activation", "text"] = "activation"
    grounding: VectorRule = field(default_factory=VectorRule)
    strength: float = 1e-5


@dataclass(frozen=True)
class MarginHead:
    """Concepts that could be grounded, and what was fitted on them."""

    bank: ConceptBank
    grounding: Grounding
    scorer: MarginScorer
    head: LinearHead
    sparse: SparseHead


def fit_margin_head(problem: Problem, rule: MarginRule, *, seed: int) -> MarginHead:
    """Fit a head on the margins of the training split.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where the encoder has no text space.
    """
    grounding = _from_text(problem) if rule.vectors == "text" else grounded_some(problem, rule.grounding, seed=seed)
    bank, ids = problem.bank.subset(grounding.ids), grounding.ids
    scorer = MarginScorer(ids, grounding.vectors, grounding.intercepts, np.zeros((len(ids), 2)))
    margins = scorer.score(problem.train.features, bank).static
    scorer = replace(scorer, percentiles=source_percentiles(margins))
    sparse = fit_sparse_head(margins, problem.train.y, len(problem.classes), rule.strength)
    return MarginHead(bank, grounding, scorer, LinearHead(ids, sparse.W, sparse.b), sparse)


def _from_text(problem: Problem) -> Grounding:
    ids = problem.bank.ids
    fits = tuple(ConceptFit(one, positives=0, negatives=0) for one in ids)
    return Grounding(ids, text_vectors(problem, "name"), np.zeros(len(ids)), fits)
