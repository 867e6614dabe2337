"""Turning a change of the head away from what the source's studies span, until they lose no more than they may.

Let D (K, C + 1) be what a change adds to weights and bias, x the concept values of a study with a one at the end, S the mean
of x x' over the site's studies and B that over the source's held-out ones. The change

    D(l) = argmin  mean over the site |(D' - D) x|^2 + l mean over the source |D' x|^2  =  D S (S + l B)^-1

does at the site what D does, as far as it can without moving the source's logits. The smallest l of `STEPS` is taken that
lets the source's class-balanced accuracy fall by no more than `tolerance`, `caution` standard errors of the fall included.
Units and correlated concepts do not matter: of `A x` the same logits come out for every invertible A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from osler.adapt.guards import SLACK, WeightEdit
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import GuardOutcome
from osler.bottleneck.records import Array

STEPS = (0.0, *(10 ** (step / 4) for step in range(-8, 13)))
RIDGE = 1e-9  # Of the mean square of each concept, so that directions which nobody spans have an inverse.


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

    def held(self, edit: WeightEdit) -> tuple[Array, GuardOutcome]:
        """Return the matrix (C + 1, C + 1) that turns the change, and what it costs the source then.

        Where the source bears nothing of it, the matrix is 0 and the outcome, which failed, is of the whole change.
        """
        source = with_one(self.model.source.values)
        whole = self.measured(edit)
        if whole.passed or not len(source):
            return np.eye(source.shape[1]) * whole.passed, whole
        basis, dual, share = _directions(with_one(self.site), source)
        before, seen, moved = self.model.logits(self.model.source.values), source @ basis, joined(edit) @ dual
        for step in STEPS[1:]:
            kept = share / (share + step * (1 - share))
            outcome = self._outcome(before, before + seen @ (kept * moved).T)
            if outcome.passed:
                return (dual * kept) @ basis.T, outcome
        return np.zeros((source.shape[1],) * 2), whole

    def measured(self, edit: WeightEdit) -> GuardOutcome:
        """Return what a change costs the source if it is not gated."""
        return self.judged(edit.logits(self.model.logits, self.model.source.values))

    def judged(self, after: Array) -> GuardOutcome:
        """Return what it costs the source if its held-out studies have these logits (n, K)."""
        return self._outcome(self.model.logits(self.model.source.values), after)

    def _outcome(self, before: Array, after: Array) -> GuardOutcome:
        y = self.model.source.y
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


def with_one(values: Array) -> Array:
    """Return values (n, C) with a one at the end of each row."""
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def joined(edit: WeightEdit) -> Array:
    """Return weights and biases of a change side by side (K, C + 1)."""
    return np.concatenate([edit.weights, np.broadcast_to(edit.bias, (len(edit.weights),))[:, None]], axis=1)


def turned(edit: WeightEdit, turn: Array) -> WeightEdit:
    """Return a change multiplied by a matrix (C + 1, C + 1) from the right."""
    both = joined(edit) @ turn
    return WeightEdit(both[:, :-1], both[:, -1])


def _directions(site: Array, source: Array) -> tuple[Array, Array, Array]:
    """Return a basis (C + 1, C + 1) in which both second moments are diagonal, its dual, and the site's share of each.

    With S and B the second moments, V' (S + B) V = 1 and V' S V = share, so that S (S + l B)^-1 is
    `dual diag(share / (share + l (1 - share))) V'` with `dual = (S + B) V`.
    """
    at_site, at_source = (x.T @ x / max(len(x), 1) for x in (site, source))
    both = at_site + at_source
    units = np.sqrt(np.maximum(np.diag(both), np.finfo(float).tiny))
    together = both / np.outer(units, units) + RIDGE * np.eye(len(both))
    share, basis = eigh(at_site / np.outer(units, units), together)
    return basis / units[:, None], (together @ basis) * units[:, None], np.clip(share, 0.0, 1.0)
