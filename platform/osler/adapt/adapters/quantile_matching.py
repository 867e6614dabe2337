"""`quantile_matching`: each concept's values at the site put where the same quantiles lie at the source; no labels.

At levels p_j = (j - 1/2) / m, from quantiles q_j of the site's n studies and Q_j of the source's held-out studies, the knots
are (q_j, q_j + n / (n + kappa) (Q_j - q_j)): few studies leave values nearly where they are. A mean of two ascending rows
ascends, so order is kept. The site's mix of classes moves its quantiles: where it differs from the source's, part of the
difference between classes goes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import site_values
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler.bottleneck.shrinkage import KAPPA, require_kappa, trust
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

MOST = 20


@dataclass(frozen=True)
class QuantileMatching:
    """Unlabelled quantile matching by concept.

    Attributes:
        knots: Number of quantiles, at most 20; fewer where there are fewer studies.
        kappa: Number of studies at which site and identity weigh the same.
    """

    knots: int = 11
    kappa: float = KAPPA

    name: ClassVar[str] = "quantile_matching"
    needs_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_kappa(self.kappa)
        if not 1 <= self.knots <= MOST:
            raise OslerError(Code.USAGE, f"{self.knots} quantiles were asked for.", f"Give 1 to {MOST}.")

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch on every measured study; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient` where nothing was measured; `part-missing` where the model holds no values.
        """
        values = site_values(pipeline, support)
        source = pipeline.source.aligned(pipeline.bank.ids)
        if not len(source.values):
            raise OslerError(
                Code.PART_MISSING, "The model remembers no held-out studies of its source.", "Fit the model again."
            )
        levels = (np.arange(min(self.knots, len(values))) + 0.5) / min(self.knots, len(values))
        here, there = np.quantile(values, levels, axis=0), np.quantile(source.values, levels, axis=0)
        wanted = here + trust(len(values), self.kappa) * (there - here)
        deltas = {
            one: ConceptDelta(
                neutral=float(source.neutral[c]), knots=knots_of(here[:, c], wanted[:, c]), sentence=sentence
            )
            for c, (one, sentence) in enumerate(zip(source.ids, _sentences(pipeline, here, wanted), strict=True))
            if not np.array_equal(here[:, c], wanted[:, c])
        }
        reason = f"Quantiles of {len(deltas)} concepts moved to the source's, by {len(values)} unlabelled studies."
        if not deltas:
            reason = "No change: every concept has the quantiles of the source already."
        return patch_of(self, pipeline, support, created=created, reason=reason, deltas=deltas)


def knots_of(here: Array, there: Array) -> tuple[tuple[float, float], ...]:
    """Return knots of ascending values; where several quantiles are one value, it goes to the middle of theirs."""
    value, place, ties = np.unique(here, return_inverse=True, return_counts=True)
    wanted = np.maximum.accumulate(np.bincount(place, there) / ties)  # Rounding must not turn two around.
    return tuple(zip(value.tolist(), wanted.tolist(), strict=True))


def _sentences(pipeline: Pipeline, here: Array, there: Array) -> list[str]:
    middle = len(here) // 2
    return [
        f"moved *{concept.name}*: median {a:.3g} -> {b:.3g}"
        for concept, a, b in zip(pipeline.bank.concepts, here[middle], there[middle], strict=True)
    ]


ADAPTER = QuantileMatching
