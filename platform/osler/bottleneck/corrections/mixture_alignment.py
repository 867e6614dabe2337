"""Each feature brought to the source by what a mixture of Gaussians says, whatever the site's mix of classes.

Moments move with the mix: a site of many neutrophils has another mean than one of few. Here the source is described by a
mixture, fitted without labels; at a site, EM finds for each feature the shift and the scale under which the batch fits that
mixture best, with mixing weights of its own (an affine case of Zhang et al. 2013, location-scale and target shift).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Array, BoolArray, Features
from osler.bottleneck.rescaling import require_width, rescaled
from osler.bottleneck.shrinkage import CONSTANT, KAPPA, blend, require_kappa, require_some, trust
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LIMIT = 4.0  # Deviations at which a value stops counting: a cell that was cut wrongly must not move a site.
CLIPPINGS = (
    10  # One value far off inflates the deviation that would clip it: each turn takes three quarters of it away.
)
FEWEST = 20  # Rows of the source for each component.
FLOOR = 0.05  # Least variance of a component, in units of the source's variance.
SEED = 0


@dataclass(frozen=True)
class MixtureAlignment:
    """Alignment to the source's mixture.

    Attributes:
        components: Components of the mixture; fewer where the source has too few rows.
        kappa: Number of studies at which batch and source weigh the same; 0 trusts a batch of any size.
        pull: Number of rows by which the batch's moments hold shift and scale back, and each component its weight.
        steps: Most steps of EM.
    """

    components: int = 6
    kappa: float = KAPPA
    pull: float = 20.0
    steps: int = 100

    stage: ClassVar[Stage] = "feature"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)
        if self.components < 1 or self.steps < 0 or not 0 < self.pull < np.inf:
            raise OslerError(
                Code.USAGE,
                f"A mixture of {self.components} components cannot be aligned in {self.steps} steps, pull {self.pull:g}.",
                "Give 1 or more components, 0 or more steps, and a pull above 0.",
            )

    def measure(self, batch: Features, reference: Statistics | None = None) -> Statistics:
        """Return `mean`, `std` and `count` of each feature (D,) as aligned, and `weights` (G,) of the components.

        Without a reference, `means` and `variances` (G, D) of the mixture come too, in units of the source's deviations.
        What is not finite counts for nothing.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty, `model-invalid` where the reference is of another width.
        """
        require_some(len(batch))
        known = np.isfinite(batch.pooled)
        count = known.sum(axis=0).astype(float)
        mean, std, z = _standardised(np.where(known, batch.pooled, 0.0).astype(float), known)
        mixture = reference
        if reference is None:
            mixture = self._mixture(z)
        else:
            require_width(batch, reference)
        assert mixture is not None
        # The source is aligned to its own mixture too: what the mixture gets wrong is then wrong at both ends, and cancels.
        scale, shift, weights = self._aligned(z, known, mixture)
        # scale * (x - mean) / std + shift, written as one subtraction and one division.
        mean, std = mean - shift * std / scale, std / scale
        if reference is None:
            return {**mixture, "mean": mean, "std": std, "count": count}
        weight = trust(count, self.kappa)
        return {
            "mean": blend(mean, reference["mean"], weight),
            "std": np.exp(blend(_log(std), _log(reference["std"]), np.where(std < CONSTANT, 0.0, weight))),
            "count": count,
            "weights": weights,
        }

    def match(self, batch: Features, own: Statistics, reference: Statistics) -> Features:
        """Return the features in the source's place and scale; tokens and steps move as the pooled features do.

        Raises:
            OslerError: `model-invalid` where the features are of another width.
        """
        return rescaled(batch, own, reference)

    def _mixture(self, z: Array) -> Statistics:
        from sklearn.mixture import GaussianMixture

        if len(z) < 2:
            return {"weights": np.ones(1), "means": z.copy(), "variances": np.ones_like(z)}
        components = max(1, min(self.components, len(z) // FEWEST))
        mixture = GaussianMixture(components, covariance_type="diag", n_init=3, random_state=SEED).fit(z)
        return {
            "weights": mixture.weights_,
            "means": mixture.means_,
            "variances": np.maximum(mixture.covariances_, FLOOR),
        }

    def _aligned(self, z: Array, known: BoolArray, reference: Statistics) -> tuple[Array, Array, Array]:
        """Return scale and shift (D,) of standardised values (n, D) and the weights (G,), by EM."""
        means, variances = reference["means"], reference["variances"]
        weights: Array = reference["weights"]
        scale: Array = np.ones(z.shape[1])
        shift: Array = np.zeros(z.shape[1])
        count, constant = known.sum(axis=0), means**2 / variances + np.log(variances)
        for _ in range(self.steps):
            x = np.where(known, scale * z + shift, 0.0)
            # (x - mean)^2 / variance, multiplied out: (n, G, D) would not fit in memory for features of a network.
            squares = x**2 @ (1 / variances).T - 2 * x @ (means / variances).T + known @ constant.T
            density = -0.5 * squares
            member = softmax(density + np.log(weights), axis=1)
            weights = (member.sum(axis=0) + self.pull * reference["weights"]) / (len(z) + self.pull)
            before = scale, shift
            scale, shift = self._regressed(z, known, count, member @ (1 / variances), member @ (means / variances))
            if max(np.abs(scale - before[0]).max(), np.abs(shift - before[1]).max()) < 1e-6:
                break
        return scale, shift, weights

    def _regressed(
        self, z: Array, known: BoolArray, count: Array, precision: Array, target: Array
    ) -> tuple[Array, Array]:
        """Return the scale and shift (D,) that minimise the expected squares less `count log scale`."""
        precision, target = precision * known, target * known
        # The pull is that of so many rows which the moments have placed right, at deviations of one.
        P, T = precision.sum(axis=0) + self.pull, target.sum(axis=0)
        Pz, Tz = (precision * z).sum(axis=0), (target * z).sum(axis=0) + self.pull
        A = (precision * z**2).sum(axis=0) + self.pull - Pz**2 / P
        B = Tz - T * Pz / P
        scale = (B + np.sqrt(B**2 + 4 * A * count)) / (2 * A)
        scale = np.where(count > 0, scale, 1.0)
        return scale, (T - scale * Pz) / P


def _standardised(x: Array, known: BoolArray) -> tuple[Array, Array, Array]:
    """Return mean and deviation (D,) of what is known, and the standardised values (n, D), which end at the limit."""
    n = np.maximum(known.sum(axis=0), 1)
    kept = x
    for _ in range(CLIPPINGS):
        mean = np.where(known, kept, 0.0).sum(axis=0) / n
        std = np.sqrt((np.where(known, kept - mean, 0.0) ** 2).sum(axis=0) / n)
        kept = np.clip(kept, mean - LIMIT * std, mean + LIMIT * std)
    return mean, std, np.where(known, (kept - mean) / np.where(std < CONSTANT, 1.0, std), 0.0)


def _log(spread: Array) -> Array:
    return np.asarray(np.log(np.maximum(spread, CONSTANT)))


CORRECTION = MixtureAlignment
