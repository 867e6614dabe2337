"""Stability: is a concept the same direction in the features of two hospitals? (M20.1)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from osler.bottleneck.records import Array, BoolArray

LEAST = 10  # studies of each answer at each site
UNSTABLE = 0.5  # cosine below which a concept means something else elsewhere
STRENGTH = 1.0


def cosine(first: Array, second: Array) -> float:
    """Return the cosine of two vectors; 0 where one of them is nothing."""
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length else 0.0


def direction(x: Array, labels: Array) -> Array | None:
    """Return the direction (D,) of a concept at one site, None where there is too little to fit it.

    Both answers weigh the same: how often a site sees a concept must not turn its direction.
    """
    answered = ~np.isnan(labels)
    if min(int((labels == value).sum()) for value in (0, 1)) < LEAST:
        return None
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="liblinear")
    return np.asarray(model.fit(x[answered], labels[answered]).coef_[0])


def stability(x: Array, labels: Array, site: BoolArray) -> float | None:
    """Return the cosine between the directions of a concept at two sites, None where one cannot be fitted.

    Args:
        x: Features of unit length (n, D).
        labels: (n,) in {0, 1, NaN}.
        site: False for the first, True for the second site (n,).
    """
    found = [direction(x[site == which], labels[site == which]) for which in (False, True)]
    return None if found[0] is None or found[1] is None else cosine(found[0], found[1])


def split_half(x: Array, labels: Array, group: NDArray[np.str_], *, seed: int) -> float | None:
    """Return the cosine between the directions from two random halves of the patients of one site.

    What chance alone does to a direction: a cosine between sites is to be read against it.
    """
    names, place = np.unique(group, return_inverse=True)
    half = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
    return stability(x, labels, half[place])
