"""How much of a move a change in the mix of classes would explain.

More pneumonia among the arrivals moves every concept of pneumonia, and nothing is wrong with the model. The shares of the
classes are estimated from the arrivals by expectation maximisation (Saerens, Latinne and Decaestecker 2002), which holds if
classes look as they did at the source; the shift of means that follows from them alone is told beside the shift that was
seen. Without labels the two causes cannot be told apart: a change of look changes the estimated shares too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.bottleneck.corrections.prior_shift import PriorShift
from osler.bottleneck.records import Array

CAVEAT = (
    "The mix of classes is estimated without labels, as if classes looked as they did at the source; "
    "a change of mix and a change of look cannot be told apart without labels."
)


@dataclass(frozen=True, eq=False)
class Mix:
    """The shares of the classes on both sides, and the shift of concept means that they alone would bring.

    Attributes:
        before: Shares in the reference (K,).
        after: Shares among the arrivals (K,), estimated.
        shift: Shift of each concept's mean (C,), in its own units.
    """

    before: Array
    after: Array
    shift: Array


def estimate_mix(probabilities: Array, prior: Array, before: Array, class_means: Array) -> Mix:
    """Estimate it.

    Args:
        probabilities: Class probabilities of the arrivals (m, K), calibrated at the source.
        prior: Shares of the classes (K,) that those probabilities take for granted: the source's.
        before: Shares in the reference (K,).
        class_means: Mean of each concept in each class at the source (K, C).
    """
    after = np.asarray(PriorShift().measure(probabilities, {"prior": prior})["prior"])
    return Mix(before, after, np.asarray((after - before) @ class_means))
