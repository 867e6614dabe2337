"""Language-guided bottleneck (M4): concepts chosen for each class, and non-negative shares that start from the prior.

A concept is written for a class where the bank's prior links the two by +1. With a text space values are cosines to texts, as
in the source; without one they are margins to directions that are learned on the reference, and choice and head stay as they
are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.heads.softmax_weights import SoftmaxHead
from osler.bottleneck.records import Array
from osler.bottleneck.scorers.margin import MarginScorer
from osler_training.fit.bottleneck import BottleneckClassifier, assemble, grounded_some, unit
from osler_training.fit.grounding import Grounding, GroundingRule
from osler_training.fit.problem import Problem
from osler_training.fit.softmax_head import SoftmaxRule, fit_shares
from osler_training.fit.submodular import choose, discriminability, likeness
from osler_training.fit.text_space import Part, has_text_space, text_grounding


@dataclass(frozen=True)
class Options:
    """How it is fitted.

    Attributes:
        vectors: `text`, `learned` on the reference, or `auto`: text where the encoder has it.
        text: What is read of a concept.
        grounding: How directions are learned where they are.
        per_class: Most concepts that are chosen for a class.
        coverage: Weight of covering the class's other concepts, against telling classes apart, in [0, 1].
        head: How shares are fitted.
    """

    vectors: Literal["auto", "text", "learned"] = "auto"
    text: Part = "question"
    grounding: GroundingRule = field(default_factory=GroundingRule)
    per_class: int = 50
    coverage: float = 0.5
    head: SoftmaxRule = field(default_factory=SoftmaxRule)


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it; nothing but the training split chooses concepts, the select split stops the head.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where texts are asked of an encoder
            that has none.
    """
    grounding = _grounding(problem, options, seed=seed)
    written = _written_for(problem, grounding.ids)
    values = _scorer(grounding).score(problem.train.features, problem.bank.subset(grounding.ids)).static
    chosen = choose_concepts(values, problem.train.y, grounding, written, options)
    kept, written, train = _only(grounding, chosen), written[:, chosen], values[:, chosen]
    bank, scorer = problem.bank.subset(kept.ids), replace(_scorer(kept), percentiles=source_percentiles(train))
    select = scorer.score(problem.select.features, bank).static
    fitted = fit_shares((train, problem.train.y), (select, problem.select.y), written, options.head)
    head = SoftmaxHead(kept.ids, fitted.shares, options.head.scale)
    record = {"head_step": fitted.step, "select_cross_entropy": fitted.select_loss}
    return BottleneckClassifier(assemble(problem, bank, scorer, head, seed=seed, site="source"), kept, record)


def choose_concepts(
    values: Array, y: NDArray[np.intp], grounding: Grounding, written: NDArray[np.bool_], options: Options
) -> NDArray[np.intp]:
    """Return the positions of the concepts that some class chose, ascending.

    Each class chooses among the concepts that were written for it; one for which none was, among all. Concepts of equal gain
    are taken by name, so that the bank's order is nothing.

    Args:
        values: Concept values of the training split (n, C).
        y: Class indices (n,).
        grounding: Directions of the concepts.
        written: Which concept was written for which class (K, C).
        options: How many, and what for.
    """
    worth, alike = discriminability(values, y, len(written)), likeness(grounding.vectors)
    by_name = np.argsort(np.array(grounding.ids), kind="stable")
    chosen: set[int] = set()
    for row in written:
        own = by_name[row[by_name]] if row.any() else by_name
        picked, _ = choose(worth[own], alike[np.ix_(own, own)], options.per_class, options.coverage)
        chosen |= set(own[picked].tolist())
    return np.array(sorted(chosen), np.intp)


def _grounding(problem: Problem, options: Options, *, seed: int) -> Grounding:
    if options.vectors == "text" or (options.vectors == "auto" and has_text_space(problem)):
        x = unit(problem.reference.features)
        return text_grounding(problem, options.text, x).keep_best(options.grounding.best)
    return grounded_some(problem, options.grounding, seed=seed)


def _written_for(problem: Problem, ids: tuple[str, ...]) -> NDArray[np.bool_]:
    prior = problem.bank.subset(ids).prior_matrix(problem.classes)
    return np.array([[link == 1 for link in row] for row in prior], dtype=bool)


def _scorer(grounding: Grounding) -> MarginScorer:
    return MarginScorer(grounding.ids, grounding.vectors, grounding.intercepts, np.zeros((len(grounding.ids), 2)))


def _only(grounding: Grounding, chosen: NDArray[np.intp]) -> Grounding:
    ids = tuple(grounding.ids[c] for c in chosen)
    fits = tuple(
        fit if fit.skipped or fit.concept in ids else replace(fit, skipped="chosen by no class")
        for fit in grounding.fits
    )
    return Grounding(ids, grounding.vectors[chosen], grounding.intercepts[chosen], fits)
