"""`prior_shift`: the head's bias moved to the shares of classes that unlabelled studies of the site suggest.

`b_k + T log(pi_k / pi_k^source)`, where the shares pi are those of greatest likelihood (Saerens et al. 2002) and T is the
model's temperature: calibrated probabilities become those that the correction of the same name gives. Concepts stay as
they are, so it is no remedy where the looks of a class changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import HeadChange
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import unlabelled
from osler.bottleneck.corrections.prior_shift import PriorShift
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Support
from osler.bottleneck.shrinkage import KAPPA, require_kappa

LEAST = 1e-12  # A class that lost all its share must leave finite numbers.


@dataclass(frozen=True)
class PriorShiftAdapter:
    """Label-free prior shift.

    Attributes:
        kappa: Studies of the source's shares that are counted to those of the site; 0 for none.
    """

    kappa: float = KAPPA

    name: ClassVar[str] = "prior_shift"
    needs_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_kappa(self.kappa)

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch on every measured study; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient` where nothing was measured.
        """
        if any(one.stage == "probability" for one in pipeline.corrections):
            # It would be done twice: once by the patch, once by the model on what the patch made of it.
            reason = "No change: the model corrects the shares of classes at each site itself."
            return patch_of(self, pipeline, support, created=created, reason=reason)
        features = unlabelled(support)
        probabilities = pipeline.calibration.probabilities(pipeline.predict_features(features).logits)
        source = pipeline.source.class_prior
        own = PriorShift(self.kappa).measure(probabilities, {"prior": source})["prior"]
        bias = pipeline.calibration.temperature * np.log(np.maximum(own, LEAST) / source)
        shares = ", ".join(
            f"{name.replace('_', ' ')} {before:.0%} -> {after:.0%}"
            for name, before, after in zip(pipeline.classes, source, own, strict=True)
        )
        weights = np.zeros((len(pipeline.classes), len(pipeline.bank.ids)))
        head = HeadChange.of(pipeline.classes, pipeline.bank.ids, weights, bias, (f"shares of classes: {shares}",))
        reason = f"Bias moved to the shares of classes that {len(features)} unlabelled studies suggest ({shares})."
        return patch_of(self, pipeline, support, created=created, reason=reason, head=head)


ADAPTER = PriorShiftAdapter
