"""Probabilities for the shares of classes that a site has (Saerens, Latinne and Decaestecker 2002).

Expectation maximisation of the likelihood of unlabelled studies finds the shares, if classes look at the site as they do at
the source and probabilities are calibrated there; it is no remedy where their looks changed too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array
from osler.bottleneck.shrinkage import KAPPA, require_kappa, require_some
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ROUNDS, TOLERANCE = 10_000, 1e-9


@dataclass(frozen=True)
class PriorShift:
    """Prior shift by EM.

    Attributes:
        kappa: Studies of the source's shares that are counted to the batch, as a Dirichlet prior has them; 0 for none.
    """

    kappa: float = KAPPA

    stage: ClassVar[Stage] = "probability"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)

    def measure(self, batch: Array, reference: Statistics | None = None) -> Statistics:
        """Return `prior` (K,), the shares of the classes, and `count`.

        Without a reference they are the mean of the probabilities: at the source that is what calibrated ones say. Where
        labels were counted, `{"prior": shares}` is the better reference.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty; `model-invalid` where rows are no probabilities, or the
                reference gives a class no share.
        """
        require_some(len(batch))
        _require_probabilities(batch)
        count = np.array(float(len(batch)))
        if reference is None:
            return {"prior": np.asarray(batch.mean(axis=0)), "count": count}
        source = _shares(reference, batch)
        prior = source
        for _ in range(ROUNDS):
            posterior = _reweighted(batch, prior / source)
            fresh = (posterior.sum(axis=0) + self.kappa * source) / (len(batch) + self.kappa)
            moved, prior = float(np.abs(fresh - prior).max()), fresh
            if moved < TOLERANCE:
                break
        return {"prior": prior, "count": count}

    def match(self, batch: Array, own: Statistics, reference: Statistics) -> Array:
        """Return the probabilities that studies have where the classes have the shares `own` instead of `reference`."""
        _require_probabilities(batch)
        return _reweighted(batch, own["prior"] / _shares(reference, batch))


def _reweighted(probabilities: Array, ratio: Array) -> Array:
    weighted = probabilities * ratio
    whole = weighted.sum(axis=1, keepdims=True)
    # A study that is of one class for certain stays so, even where that class has lost all its share.
    return np.asarray(np.where(whole > 0, weighted / np.where(whole > 0, whole, 1.0), probabilities))


def _shares(reference: Statistics, batch: Array) -> Array:
    prior = np.asarray(reference.get("prior", np.zeros(0)), float)
    if prior.shape != batch.shape[1:] or not (prior > 0).all():
        raise OslerError(
            Code.MODEL_INVALID,
            f"A prior of shape {prior.shape} gives not each of {batch.shape[1]} classes a share.",
            "Give the shares of the classes at the source, none of them zero.",
        )
    return np.asarray(prior / prior.sum())


def _require_probabilities(batch: Array) -> None:
    if batch.ndim != 2 or not ((batch >= 0).all() and np.allclose(batch.sum(axis=1), 1.0, atol=1e-6)):
        raise OslerError(
            Code.MODEL_INVALID, "Some rows are no class probabilities.", "Give calibrated probabilities (n, K)."
        )


CORRECTION = PriorShift
