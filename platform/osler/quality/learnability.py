"""Learnability: is a concept easier to learn from the encoder's features than the finding that it explains? (M20.1)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from osler.bottleneck.records import Array

STRENGTHS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
SHARES = (0.6, 0.2)  # of the patients: to fit, to choose the strength; the rest is measured on
LEAST = 5  # studies of each answer in each part
RESAMPLES = 200


@dataclass(frozen=True)
class Learnt:
    """How well a probe answers one question.

    Attributes:
        nap: Normalised average precision on held-out patients; NaN where it could not be measured.
        low: Lower end of its 95% interval, resampled by patient.
        high: Upper end.
        n: Held-out studies.
        why_not: Why it could not be measured; empty where it was.
    """

    nap: float
    low: float
    high: float
    n: int
    why_not: str = ""


def normalised_precision(scores: Array, labels: Array, prevalence: float) -> float:
    """Return average precision as if a given share of the studies were positive.

    Precision at a recall is `r N0 / (r N0 + f N1)`, with the share f of the negatives ranked above, and N0 : N1 one common
    ratio: how often a concept is present must not decide, and copies of negatives or of positives change nothing.

    Args:
        scores: (n,), higher for present.
        labels: (n,) in {0, 1}, both of them there.
        prevalence: N0 / (N0 + N1) in (0, 1).
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], labels[order] > 0.5
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of equal scores all are let in at once
    recall = np.cumsum(positive)[last] / positive.sum()
    false = np.cumsum(~positive)[last] / (~positive).sum()
    found = recall * prevalence
    steps = np.diff(recall, prepend=0.0)
    precision = np.divide(found, found + false * (1 - prevalence), out=np.zeros_like(found), where=steps > 0)
    return float(np.sum(steps * precision))


def split_by_patient(patients: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Return the part of each study (n,): 0 to fit, 1 to choose, 2 to measure; a patient is in one part."""
    names, place = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    bounds = np.round(np.cumsum(SHARES) * len(names)).astype(int)
    part = np.empty(len(names), np.intp)
    part[order] = np.searchsorted(bounds, np.arange(len(names)), side="right")
    return np.asarray(part[place])


def learn(
    x: Array, labels: Array, patients: Sequence[str], *, prevalence: float, seed: int, resamples: int = RESAMPLES
) -> Learnt:
    """Fit a logistic probe on frozen features and measure it on patients that it never saw.

    Args:
        x: Features of unit length (n, D).
        labels: (n,) in {0, 1, NaN}; NaN is not used.
        patients: Pseudonyms (n,).
        prevalence: The common share of positives.
        seed: Seed of split and resampling.
        resamples: Resamples of the interval.
    """
    answered = ~np.isnan(labels)
    part = split_by_patient(patients, seed)
    fit, choose, test = (np.flatnonzero(answered & (part == number)) for number in range(3))
    least = min(min(int((labels[rows] == value).sum()) for value in (0, 1)) for rows in (fit, choose, test))
    if least < LEAST:
        return Learnt(np.nan, np.nan, np.nan, len(test), f"fewer than {LEAST} studies of one answer in a part")
    models = [LogisticRegression(C=C, solver="liblinear").fit(x[fit], labels[fit]) for C in STRENGTHS]
    aurocs = [roc_auc_score(labels[choose], model.decision_function(x[choose])) for model in models]
    scores = models[int(np.argmax(aurocs))].decision_function(x[test])
    value = normalised_precision(scores, labels[test], prevalence)
    low, high = _interval(scores, labels[test], np.asarray(patients)[test], prevalence, seed, resamples)
    return Learnt(value, low, high, len(test))


def _interval(
    scores: Array, labels: Array, patients: NDArray[np.str_], prevalence: float, seed: int, resamples: int
) -> tuple[float, float]:
    """Return the 95% interval over patients drawn with replacement; draws with one answer alone are left out."""
    _, place = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(place == number) for number in range(int(place.max()) + 1)]
    rng = np.random.default_rng([seed, 1])
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([members[one] for one in rng.integers(len(members), size=len(members))])
        if 0 < labels[drawn].sum() < len(drawn):
            values.append(normalised_precision(scores[drawn], labels[drawn], prevalence))
    if not values:
        return np.nan, np.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
