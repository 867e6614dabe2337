"""Moving the head for a site by no more than its source bears.

Let D (K, C + 1) be what a change adds to weights and bias, x the concept values of a study with a one at the end, z its logits
by the unchanged head and T the model's temperature. With the site's studies and the source's held-out ones, whose classes y are
known and count alike, the change

    D(l) = argmin  mean over the site |(D' - D) x / T|^2  +  l mean over the source of the cross-entropy of (z + D' x) / T with y

does at the site what D does, as far as it can while the source's studies are told apart. It is convex. The smallest l of `PULLS`
is taken that lets the source's class-balanced accuracy fall by no more than `tolerance`, `caution` standard errors of the fall
included. To hold the source's logits where they were, whatever its studies are, would cost far more at the site: most logits may
move without one answer that is wrong. Units and mixtures of concepts do not matter: of `A x` the same logits come out for every
invertible A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from osler.adapt.guards import SLACK, WeightEdit
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import GuardOutcome
from osler.adapt.site_values import Labels
from osler.bottleneck.records import Array

PULLS = tuple(10 ** (step / 2) for step in range(-4, 7))
RIDGE = 1e-9  # Of the mean square of each concept, so that directions which nobody spans have an inverse.
ROUNDS, GRADIENT = 200, 1e-5


@dataclass(frozen=True, eq=False)
class SourceHold:
    """What holds a change of the head back for the sake of the source.

    Attributes:
        model: The model, unpatched.
        site: Concept values (m, C) of the site's measured studies.
        tolerance: How far the class-balanced accuracy of the source may fall, as a fraction.
        caution: Standard errors of that fall which are added to it.
    """

    model: LinearModel
    site: Array
    tolerance: float
    caution: float

    def held(self, edit: WeightEdit) -> tuple[WeightEdit, GuardOutcome]:
        """Return the change that the source bears, and what it costs the source.

        Where the source bears none, the change is empty and the outcome, which failed, is of the whole one.
        """
        whole = self.measured(edit)
        if whole.passed:
            return edit, whole
        if len(self.model.source.y):
            compromise = Compromise.of(self.model, self.site, edit)
            step = compromise.wanted
            for pull in PULLS:
                step = compromise.nearest(pull, step)
                held = compromise.edit(step)
                outcome = self.measured(held)
                if outcome.passed:
                    return held, outcome
        return WeightEdit(np.zeros_like(self.model.weights), np.zeros_like(self.model.bias)), whole

    def measured(self, edit: WeightEdit) -> GuardOutcome:
        """Return what a change costs the source if it is not gated."""
        return self.judged(edit.logits(self.model.logits, self.model.source.values))

    def judged(self, after: Array) -> GuardOutcome:
        """Return what it costs the source if its held-out studies have these logits (n, K)."""
        y, before = self.model.source.y, self.model.logits(self.model.source.values)
        if not len(y):
            said = "The model keeps no study of its source on which a change of the head could be measured."
            return GuardOutcome("ungated-source", False, 0.0, 0.0, said)
        were, are = ((logits.argmax(axis=1) == y).astype(float) for logits in (before, after))
        each = [
            (were[y == k].mean(), are[y == k].mean(), (were - are)[y == k].var() / (y == k).sum()) for k in np.unique(y)
        ]
        low, high, variance = np.mean(each, axis=0)
        error = float(np.sqrt(variance / len(each)))
        sentence = (
            f"Accuracy on {len(y)} held-out source studies, each class alike, ungated: {low:.1%} before, {high:.1%} after, "
            f"standard error of the difference {100 * error:.1f} points."
        )
        passed = bool(low - high + self.caution * error <= self.tolerance + SLACK)
        return GuardOutcome("ungated-source", passed, float(low), float(high), sentence)


@dataclass(frozen=True, eq=False)
class Compromise:
    """The problem above in coordinates in which site and source together vary alike in every direction, and T is 1.

    Attributes:
        wanted: The change that was asked for, in these coordinates (K, C + 1).
        spread: Second moments of the site's studies (C + 1, C + 1).
        values: The source's held-out studies (n, C + 1).
        logits: Their logits by the unchanged head (n, K).
        truth: Their classes (n, K), each class of the weight of one study.
        back: What brings a change back to concept values (C + 1, C + 1).
    """

    wanted: Array
    spread: Array
    values: Array
    logits: Array
    truth: Array
    back: Array

    @classmethod
    def of(cls, model: LinearModel, site: Array, edit: WeightEdit) -> Compromise:
        """Take a change of a model's head, and the site's concept values (m, C)."""
        source, y = with_one(model.source.values), model.source.y
        there = with_one(site)
        moments = there.T @ there / max(len(there), 1)
        both = moments + source.T @ source / len(source)
        units = np.sqrt(np.maximum(np.diag(both), np.finfo(float).tiny))
        root = np.linalg.cholesky(both / np.outer(units, units) + RIDGE * np.eye(len(both))) * units[:, None]
        whiten = np.linalg.inv(root).T
        temperature = model.temperature
        wanted = joined(edit) @ root / temperature
        logits = model.logits(model.source.values) / temperature
        back = temperature * whiten.T
        return cls(wanted, whiten.T @ moments @ whiten, source @ whiten, logits, _weighed(y, len(wanted)), back)

    def nearest(self, pull: float, start: Array) -> Array:
        """Return D(l) for a pull l, in these coordinates (K, C + 1)."""
        weight = self.truth.sum(axis=1, keepdims=True)

        def cost(flat: Array) -> tuple[float, Array]:
            step = flat.reshape(self.wanted.shape)
            off = step - self.wanted
            seen = off @ self.spread
            logp = log_softmax(self.logits + self.values @ step.T, axis=1)
            value = (seen * off).sum() - pull * (self.truth * logp).sum()
            gradient = 2 * seen + pull * (weight * np.exp(logp) - self.truth).T @ self.values
            return float(value), gradient.ravel()

        found = minimize(
            cost,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ROUNDS, "gtol": GRADIENT, "ftol": 1e-10},
        )
        return np.asarray(found.x.reshape(self.wanted.shape))

    def edit(self, step: Array) -> WeightEdit:
        """Return a change in these coordinates as one of weights and biases."""
        both = step @ self.back
        return WeightEdit(both[:, :-1], both[:, -1])


def with_one(values: Array) -> Array:
    """Return values (n, C) with a one at the end of each row."""
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def joined(edit: WeightEdit) -> Array:
    """Return weights and biases of a change side by side (K, C + 1)."""
    return np.concatenate([edit.weights, np.broadcast_to(edit.bias, (len(edit.weights),))[:, None]], axis=1)


def _weighed(y: Labels, K: int) -> Array:
    """Return classes as one-hot rows (n, K) that sum to one over all, each class alike."""
    counts = np.bincount(y, minlength=K)
    return np.asarray(np.eye(K)[y] / (np.count_nonzero(counts) * counts[y])[:, None])
