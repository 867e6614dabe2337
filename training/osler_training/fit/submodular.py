"""Which concepts a class keeps: those that tell it apart and together cover the rest, chosen greedily (M4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from osler.bottleneck.records import Array


def discriminability(values: Array, y: NDArray[np.intp], classes: int) -> Array:
    """Return how well each concept tells classes apart (C,), in [0, 1].

    `D(c) = 1 - H(p(y|c)) / log K`, where `p(y|c)` is the softmax over classes of the concept's mean in each, in units of its
    standard deviation: means of similarities may be negative and have no logarithm (M4).

    Args:
        values: Concept values (n, C) of the training studies, and of no others.
        y: Class indices (n,), each class present.
        classes: Number of classes K.
    """
    std = values.std(axis=0)
    means = np.stack([values[y == k].mean(axis=0) for k in range(classes)]) / np.where(std < 1e-6, 1.0, std)
    p = softmax(means, axis=0)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=0)
    return np.asarray(np.clip(1 - entropy / np.log(classes), 0, 1))


def likeness(vectors: Array) -> Array:
    """Return cosines of concept vectors (C, D) as (C, C), negative ones as zero: what is opposed covers nothing."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.maximum(unit @ unit.T, 0))


def value_of(chosen: list[int], worth: Array, alike: Array, coverage: float) -> float:
    """Return `(1-r) mean worth + r mean_u max_{c chosen} alike[u, c]`, both over all candidates: monotone and submodular.

    Args:
        chosen: Positions of the concepts that are kept.
        worth: Discriminability of the candidates (C,).
        alike: Their likeness (C, C), not negative.
        coverage: The ratio r in [0, 1]; 0 asks for discriminability alone.
    """
    if not chosen:
        return 0.0
    return float((1 - coverage) * worth[chosen].sum() / len(worth) + coverage * alike[:, chosen].max(axis=1).mean())


def choose(worth: Array, alike: Array, count: int, coverage: float) -> tuple[list[int], list[float]]:
    """Return the positions of `count` concepts that greedily maximise `value_of`, in the order of choice, and their gains.

    The value is at least (1 - 1/e) of the best that as many can reach. Of equals the first is taken.
    """
    covered = np.zeros(len(worth))
    chosen: list[int] = []
    gains: list[float] = []
    for _ in range(min(count, len(worth))):
        gain = (1 - coverage) * worth / len(worth)
        gain = gain + coverage * (np.maximum(alike, covered[:, None]) - covered[:, None]).mean(axis=0)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        gains.append(float(gain[best]))
        covered = np.maximum(covered, alike[:, best])
    return chosen, gains
