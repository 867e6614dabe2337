"""PCBM-h (M3): a post-hoc bottleneck with a residual from the features; concepts explain the first half only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler_training.fit.bottleneck import BottleneckClassifier, assemble, unit
from osler_training.fit.margins import MarginHead, MarginRule, fit_margin_head
from osler_training.fit.problem import Cohort, Problem
from osler_training.fit.residual import choose_residual


@dataclass(frozen=True)
class Options(MarginRule):
    """Those of `pcbm`, and penalties of the residual to choose from on the select split.

    The source's 0.001 stopped after 20 epochs; at the optimum it hardly holds the residual back.
    """

    residual: tuple[float, ...] = (0.001, 0.1, 10.0, 1000.0)


def fit(problem: Problem, options: Options, *, seed: int) -> BottleneckClassifier:
    """Fit it.

    Raises:
        OslerError: `nothing-eligible` where no concept can be grounded, `part-missing` where the encoder has no text space.
    """
    first = fit_margin_head(problem, options, seed=seed)
    train, select = (_frozen(first, one) for one in (problem.train, problem.select))
    R, r, strength = choose_residual(train, select, options.residual)
    pipeline = assemble(problem, first.bank, first.scorer, HybridHead(first.head, R, r), seed=seed, site="source")
    record = {**first.sparse.record(), "residual_strength": strength, **beside_concepts(pipeline, problem.calibrate)}
    return BottleneckClassifier(pipeline, first.grounding, record)


def beside_concepts(pipeline: Pipeline, cohort: Cohort) -> dict[str, Any]:
    """Return what no concept explains: the residual's share of the logits, and accuracy with and without it."""
    output = pipeline.predict_features(cohort.features)
    if output.residual_logits is None:
        raise ValueError("The head has no residual")
    concepts = output.logits - output.residual_logits
    return {
        "residual_share": _size(output.residual_logits) / _size(output.logits),
        "accuracy_with_residual": float((output.logits.argmax(1) == cohort.y).mean()),
        "accuracy_of_concepts": float((concepts.argmax(1) == cohort.y).mean()),
    }


def _size(logits: Array) -> float:
    """Return the mean length of logits (n, K), centred: a constant added to every class concludes nothing."""
    return float(np.linalg.norm(logits - logits.mean(1, keepdims=True), axis=1).mean())


def _frozen(first: MarginHead, cohort: Cohort) -> tuple[Array, Any, Array]:
    state = first.scorer.score(cohort.features, first.bank)
    return unit(cohort.features), cohort.y, first.head.predict(state, cohort.features).logits
