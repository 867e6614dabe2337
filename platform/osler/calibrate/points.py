"""Operating points: the calibrated probability from which a class is called, so that few of its studies are missed.

The point of class k is an order statistic of the calibrated probabilities `p_k` of its own calibration studies: the
l-th smallest of n, with `l = floor((n + 1) (1 - sensitivity))`. A new study of the class lies below it with chance l / (n + 1)
at most if it is exchangeable with those (conformal control of the false negative rate). The temperature was fitted on
the same studies, which moves the probabilities of more than two classes a little; the chance is about that then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array

_ROUNDING = 1e-9


def fit_operating_points(
    probabilities: Array, y: NDArray[np.intp], classes: Sequence[str], *, sensitivity: float
) -> dict[str, float]:
    """Return the operating point of each class that has enough studies for one.

    Args:
        probabilities: Calibrated probabilities (n, K).
        y: Class indices (n,).
        classes: Names of the classes.
        sensitivity: Share of each class that is to be called, in (0, 1).
    """
    points = {}
    for k, one in enumerate(classes):
        own = np.sort(probabilities[y == k, k])
        missed = math.floor((len(own) + 1) * (1 - sensitivity) + _ROUNDING)
        if missed >= 1:
            points[one] = float(own[missed - 1])
    return points
