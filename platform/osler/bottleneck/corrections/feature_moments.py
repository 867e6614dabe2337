"""Each feature brought to the source's mean and deviation; robustly, to its median and interquartile range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.bottleneck.protocols import Stage, Statistics
from osler.bottleneck.records import Features
from osler.bottleneck.rescaling import require_width, rescaled
from osler.bottleneck.shrinkage import KAPPA, blend, require_kappa, require_some, trust

NORMAL_IQR = 1.3489795003921634  # Interquartile range of a standard normal variable.


@dataclass(frozen=True)
class FeatureMoments:
    """Standardisation by site.

    A site's mix of classes moves its moments: where the mixes of source and site differ, part of the difference between
    classes goes too.

    Attributes:
        robust: Median and interquartile range / 1.349 instead of mean and standard deviation.
        kappa: Number of studies at which batch and source weigh the same; 0 trusts a batch of any size.
    """

    robust: bool = False
    kappa: float = KAPPA

    stage: ClassVar[Stage] = "feature"

    def __post_init__(self) -> None:
        require_kappa(self.kappa)

    def measure(self, batch: Features, reference: Statistics | None = None) -> Statistics:
        """Return `mean`, `std` and `count` of each feature (D,); what is not finite counts for nothing.

        Raises:
            OslerError: `nothing-eligible` where the batch is empty.
        """
        require_some(len(batch))
        known = np.isfinite(batch.pooled)
        count = known.sum(axis=0)
        x = np.where(known, batch.pooled.astype(float), np.nan)
        x[:, count == 0] = 0.0
        if self.robust:
            low, mean, high = np.nanquantile(x, [0.25, 0.5, 0.75], axis=0)
            std = (high - low) / NORMAL_IQR
        else:
            mean, std = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        if reference is not None:
            require_width(batch, reference)
            weight = trust(count, self.kappa)
            std = np.sqrt(blend(std**2, reference["std"] ** 2, weight))
            mean = blend(mean, reference["mean"], weight)
        return {"mean": np.asarray(mean), "std": np.asarray(std), "count": count.astype(float)}

    def match(self, batch: Features, own: Statistics, reference: Statistics) -> Features:
        """Return the features with the reference's moments; tokens and steps move as the pooled features do.

        Raises:
            OslerError: `model-invalid` where the features are of another width.
        """
        return rescaled(batch, own, reference)


CORRECTION = FeatureMoments
