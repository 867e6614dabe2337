"""Figures of one table of predictions at a site that may lack classes: what is absent is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from osler.bottleneck.records import Array
from osler_training.evaluate import scoring
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.metrics import METRICS, Labels, Metric, class_accuracies
from osler_training.evaluate.records import Records

_CELLS = 2_000_000  # weights that are looked at in one go


def metric_estimate(records: Records, metric: str, *, seed: int, replicates: int = REPLICATES) -> Estimate:
    """Return one figure with its replicates; the same studies and seed pair two models."""
    return drawn(records, METRICS[metric], seed, replicates)


def drawn(records: Records, metric: Metric, seed: int, replicates: int) -> Estimate:
    """Return a metric with its patient bootstrap, some replicates at a time."""
    weights = patient_weights(records.patients, seed=seed, replicates=replicates)
    parts = np.array_split(weights, max(1, weights.size // _CELLS))
    ones = np.ones((1, len(records)))
    value = float(metric(records.y, records.prob, ones)[0])
    return Estimate(value, np.concatenate([metric(records.y, records.prob, part) for part in parts]))


def site_scores(records: Records, *, seed: int, replicates: int = REPLICATES) -> dict[str, Any]:
    """Return every figure of a table as JSON: class metrics, recall by class, concepts where there is a truth."""
    scores = {name: shown(drawn(records, metric, seed, replicates), len(records)) for name, metric in METRICS.items()}
    for k in np.unique(records.y):
        one = drawn(records, partial(_recall, int(k)), seed, replicates)
        scores[f"recall/{records.classes[k]}"] = shown(one, int((records.y == k).sum()))
    if records.concept_truth is not None and np.isfinite(records.concept_truth).any():
        drawn_concepts = scoring.score(records, ["concept_auroc"], seed=seed, replicates=replicates)
        scores |= {name: finite(figure) for name, figure in drawn_concepts.items()}
    return scores


def _recall(k: int, y: Labels, prob: Array, weights: Array) -> Array:
    return class_accuracies(y, prob, weights)[:, k]


def shown(one: Estimate, n: int) -> dict[str, Any]:
    """Return an estimate as JSON: value, interval and the studies that it rests on; None for what is undefined."""
    low, high = one.ci
    return finite({"value": one.value, "ci_low": low, "ci_high": high, "n": n})


def finite(figure: Mapping[str, float]) -> dict[str, Any]:
    """Return a figure in which what is not finite is None: JSON knows no NaN."""
    return {name: value if np.isfinite(value) else None for name, value in figure.items()}


def confusion(records: Records) -> list[list[int]]:
    """Return how many studies of each class (row) were called each class (column)."""
    K = len(records.classes)
    return np.bincount(records.y * K + records.prob.argmax(1), minlength=K * K).reshape(K, K).tolist()
