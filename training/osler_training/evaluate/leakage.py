"""What passes through a bottleneck beside its concepts: soft against hard, residual information, recovered classes (M19.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, estimate, patient_weights
from osler_training.evaluate.metrics import Labels, Metric, accuracy, binary_auroc, ratio
from osler_training.evaluate.probes import cross_fitted_classes, patient_folds

_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class SoftHard:
    """A figure with concepts as they are, with concepts called present or absent, and the first minus the second."""

    soft: Estimate
    hard: Estimate

    @property
    def gap(self) -> Estimate:
        """Soft minus hard: what the shades between yes and no are worth to the head."""
        return self.soft.minus(self.hard)


def soft_hard_gap(
    pipeline: Pipeline,
    features: Features,
    y: Labels,
    patients: Sequence[str],
    thresholds: Mapping[str, float],
    *,
    seed: int,
    metric: Metric = accuracy,
    site: str | None = None,
    replicates: int = REPLICATES,
) -> SoftHard:
    """Compare the head on soft concepts with the head on `concept > threshold`, set by `clamp`.

    Args:
        pipeline: The bottleneck.
        features: Features (n rows).
        y: True classes (n,).
        patients: Pseudonyms (n,).
        thresholds: From which probability, or value where there are none, each concept is called present, chosen on the select
            split (`concepts.choose_thresholds`). A concept without one stays soft.
        seed: Seed of the draw of patients.
        metric: The figure.
        site: Where the studies come from.
        replicates: Draws of the bootstrap.
    """
    state = pipeline.state(features, site=site)
    scores = state.static if state.prob is None else state.prob[:, 0]
    limits = np.array([thresholds.get(one, np.nan) for one in pipeline.bank.ids])
    mask = np.tile(~np.isnan(limits), (len(y), 1))
    hard = pipeline.scorer.clamp(state, mask, (scores >= limits).astype(float))
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    soft_figure, hard_figure = (
        estimate(metric, y, pipeline.calibration.probabilities(pipeline.head.predict(one, features).logits), weights)
        for one in (state, hard)
    )
    return SoftHard(soft_figure, hard_figure)


@dataclass(frozen=True)
class ResidualInformation:
    """How much better a class is foretold once the concept values are known beside their truth.

    Attributes:
        gain: Mean gain in the log-likelihood of the class, in nats a study. Above zero, the values say more of the class than
            the true concepts do; below zero, they only cost the probe.
        truth_alone: Mean log-likelihood given the truth of the concepts.
    """

    gain: Estimate
    truth_alone: Estimate


def residual_information(
    values: Array, truth: Array, y: Labels, patients: Sequence[str], *, seed: int, replicates: int = REPLICATES
) -> ResidualInformation:
    """Return the gain of a linear probe of the class from concepts' truth (n, C) when it sees their values (n, C, ...) too.

    Both probes are judged on patients that they were not fitted on. A truth that is missing is an answer of its own. The
    probe is linear: where classes depend on true concepts otherwise, values may help it without leaking.

    Raises:
        OslerError: `support-insufficient` where there are fewer patients than folds.
    """
    folds, classes = patient_folds(patients, seed=seed), int(np.max(y)) + 1
    missing = np.isnan(truth)
    known = np.hstack([np.where(missing, 0.5, truth), missing[:, missing.any(0)].astype(float)])
    both = np.hstack([known, np.asarray(values, float).reshape(len(y), -1)])
    alone, together = (_log_likelihood(cross_fitted_classes(one, y, folds, classes), y) for one in (known, both))
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    return ResidualInformation(_mean(together - alone, weights), _mean(alone, weights))


def _log_likelihood(prob: Array, y: Labels) -> Array:
    return np.asarray(np.log(np.maximum(prob[np.arange(len(y)), y], _LEAST_PROBABILITY)))


def _mean(values: Array, weights: Array) -> Estimate:
    return Estimate(float(values.mean()), ratio(weights @ values, weights.sum(1)))


@dataclass(frozen=True)
class Recovery:
    """How well a fresh linear probe finds a class: its recall, and its AUROC against the rest (chance 0.5)."""

    recall: Estimate
    auroc: Estimate


def probe_recovery(
    inputs: Array, y: Labels, patients: Sequence[str], removed: int, *, seed: int, replicates: int = REPLICATES
) -> Recovery:
    """Return how well a class that a model was to unlearn (M17) can be read from frozen features or concept values.

    Run it on both: what features keep, concepts may have lost.

    Args:
        inputs: Features (n, D), or concept values (n, C).
        y: True classes (n,), the removed one among them.
        patients: Pseudonyms (n,).
        removed: The class.
        seed: Seed of folds and draws.
        replicates: Draws of the bootstrap.

    Raises:
        OslerError: `support-insufficient` where there are fewer patients than folds.
    """
    folds = patient_folds(patients, seed=seed)
    prob = cross_fitted_classes(np.asarray(inputs, float).reshape(len(y), -1), y, folds, int(np.max(y)) + 1)
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    own = y == removed
    recall = estimate(accuracy, y[own], prob[own], weights[:, own])
    rows = np.vstack([np.ones((1, len(y))), weights])
    area = binary_auroc(own, prob[:, removed], rows)
    return Recovery(recall, Estimate(float(area[0]), area[1:]))
