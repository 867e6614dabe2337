"""How much a few studies of a site say: their statistics are blended with the source's by `n / (n + kappa)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# The weight is that of the posterior mean of a site's mean, where sites lie around the source with 1/8 of the variance
# within a site: 1/9 for one study, 1/2 for eight, 0.93 for a hundred.
KAPPA = 8.0
CONSTANT = 1e-6


def trust(count: int | NDArray[Any], kappa: float) -> Array:
    """Return the weight of what `count` studies say, in [0, 1); 1 where `kappa` is 0 and there is a study."""
    count = np.asarray(count, float)
    return np.asarray(np.where(count > 0, count / np.where(count > 0, count + kappa, 1.0), 0.0))


def blend(own: Array, reference: Array, weight: Array | float) -> Array:
    """Return `weight own + (1 - weight) reference`; what was not measured (NaN) is the reference's."""
    own = np.where(np.isnan(own), reference, own)
    return np.asarray(reference + np.asarray(weight) * (own - reference))


def require_some(count: int) -> None:
    """Refuse an empty batch.

    Raises:
        OslerError: `nothing-eligible`.
    """
    if count == 0:
        raise OslerError(
            Code.NOTHING_ELIGIBLE, "An empty batch has no statistics to correct a site by.", "Give images of the site."
        )


def require_kappa(kappa: float) -> None:
    """Refuse a negative or infinite `kappa`.

    Raises:
        OslerError: `usage`.
    """
    if not 0 <= kappa < np.inf:
        raise OslerError(Code.USAGE, f"A kappa of {kappa:g} is no number of studies.", "Give 0 or more.")


def scale_between(own: Array, reference: Array) -> Array:
    """Return by what a spread is multiplied to become the reference's; 1 where the batch does not vary (below 1e-6)."""
    constant = own < CONSTANT
    return np.asarray(np.where(constant, 1.0, reference / np.where(constant, 1.0, own)))


def nothing_to_measure(message: str) -> OslerError:
    """Return the error for a batch of the source in which there is nothing to measure."""
    return OslerError(Code.NOTHING_ELIGIBLE, message, "Leave the correction out, or give other images.")
