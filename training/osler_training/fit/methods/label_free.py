"""Label-free bottleneck (M5): a projection onto the encoder's text space, standardised, and a sparse head by a path."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from osler.bottleneck.heads.linear import LinearHead
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.bottleneck import BottleneckClassifier, assemble, unit
from osler_training.fit.elastic_net import choose_sparse, fit_path
from osler_training.fit.grounding import ConceptFit, Grounding
from osler_training.fit.problem import Problem
from osler_training.fit.projection import ProjectionRule, fit_projection, similarity
from osler_training.fit.text_space import Part, standardised, text_vectors

TOP = 5


@dataclass(frozen=True)
class Options:
    """How it is fitted.

    Attributes:
        projection: How features are projected.
        text: What is read of a concept, its name or its question.
        errors: The head is the sparsest on the path whose cross-entropy on the select split is within so many standard
            errors of the best; 0 takes the best.
    """

    projection: ProjectionRule = field(default_factory=ProjectionRule)
    text: Part = "name"
    errors: float = 1.0


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `part-missing` where the encoder has no text space, `nothing-eligible` where no concept is left.
    """
    grounding = projected(problem, options, seed=seed)
    kept = grounding.ids
    if not kept:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The encoder sees none of {len(problem.bank.ids)} concepts in the training images as the text says.",
            "Lower `least_activation` or `least_similarity`, or use another encoder.",
        )
    bank = problem.bank.subset(kept)
    scorer = standardised(grounding, unit(problem.train.features))
    train, select = (scorer.score(one.features, bank).static for one in (problem.train, problem.select))
    path = fit_path(train, problem.train.y, len(problem.classes))
    sparse = choose_sparse(path, select, problem.select.y, options.errors)
    head = LinearHead(kept, sparse.W, sparse.b)
    pipeline = assemble(problem, bank, scorer, head, seed=seed, site="source")
    return BottleneckClassifier(pipeline, grounding, sparse.record())


def projected(problem: Problem, options: Options, *, seed: int) -> Grounding:
    """Return the projections of the concepts that are left, with what became of each.

    Raises:
        OslerError: `part-missing` where the encoder has no text space.
    """
    bank, rule = problem.bank, options.projection
    x, held = unit(problem.train.features), unit(problem.select.features)
    text = text_vectors(problem, options.text)
    p, held_p = x @ text.T, held @ text.T
    activation = np.sort(p, axis=0)[-TOP:].mean(0)
    seen = np.flatnonzero(activation >= rule.least_activation)
    ids = [bank.ids[c] for c in seen]
    W = np.zeros((len(bank.ids), x.shape[1]))
    if len(seen):
        W[seen] = fit_projection((x, p[:, seen]), (held, held_p[:, seen]), ids, rule, seed=seed)
    alike = similarity(held @ W.T, held_p)
    why = [
        "seen in too few images" if c not in seen else "not projected well" if alike[c] <= rule.least_similarity else ""
        for c in range(len(bank.ids))
    ]
    kept = np.flatnonzero([not one for one in why])
    fits = tuple(
        ConceptFit(one, 0, 0, held_out=len(held), similarity=float(alike[c]), skipped=why[c])
        for c, one in enumerate(bank.ids)
    )
    return Grounding(tuple(bank.ids[c] for c in kept), W[kept], np.zeros(len(kept)), fits)
