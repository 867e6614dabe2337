"""From logits to probabilities that mean what they say, at one site and from one date on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.bottleneck.records import Array


@dataclass(frozen=True)
class Calibration:
    """A temperature (Guo et al. 2017) and where it holds; operating points are kept apart from it.

    Attributes:
        temperature: Logits are divided by it; 1 leaves them.
        site: Site whose calibration split it was fitted on, or None for none.
        date: ISO date of the fit, or None.
        studies: Number of studies in that split; 0 means that nothing was calibrated.
        operating_points: Calibrated probability from which a class is called, by class; a class that is not a key has
            none.
    """

    temperature: float = 1.0
    site: str | None = None
    date: str | None = None
    studies: int = 0
    operating_points: dict[str, float] = field(default_factory=dict)

    def probabilities(self, logits: Array) -> Array:
        """Return calibrated probabilities (B, K)."""
        return np.asarray(softmax(logits / self.temperature, axis=-1))

    def to_record(self) -> dict[str, Any]:
        """Return the calibration as JSON."""
        return asdict(self)
