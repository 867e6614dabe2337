"""What PCBM and PCBM-h share: concept activation vectors, and a sparse head on the margins to them (M3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.scorers.margin import MarginScorer
from osler_knowledge.bank import ConceptBank
from osler_training.fit.bottleneck import grounded_some
from osler_training.fit.elastic_net import SparseHead, fit_sparse_head
from osler_training.fit.grounding import Grounding, GroundingRule
from osler_training.fit.problem import Problem

# 50 images of each answer to fit on and as many held out. The source takes the best of 0.01 and 0.1 by held-out accuracy; here
# a cross-validation chooses, and the held-out accuracy stays a measurement. Features of unit length want larger values.
CAV = GroundingRule(kept=100, held_out_share=0.5, held_out_most=50, Cs=(0.01, 0.1, 1.0, 10.0), classifier="svm")


@dataclass(frozen=True)
class MarginHead:
    """Concepts that could be grounded, and what was fitted on them."""

    bank: ConceptBank
    grounding: Grounding
    scorer: MarginScorer
    head: LinearHead
    sparse: SparseHead


def fit_margin_head(problem: Problem, rule: GroundingRule, strength: float, *, seed: int) -> MarginHead:
    """Fit vectors on the reference and a head on the margins of the training split.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded.
    """
    grounding = grounded_some(problem, rule, seed=seed)
    bank, ids = problem.bank.subset(grounding.ids), grounding.ids
    scorer = MarginScorer(ids, grounding.vectors, grounding.intercepts, np.zeros((len(ids), 2)))
    margins = scorer.score(problem.train.features, bank).static
    scorer = replace(scorer, percentiles=source_percentiles(margins))
    sparse = fit_sparse_head(margins, problem.train.y, len(problem.classes), strength)
    return MarginHead(bank, grounding, scorer, LinearHead(ids, sparse.W, sparse.b), sparse)
