"""Made-up hospitals whose distributions are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from osler_contracts.drift.observations import Observations, observe

Draw = Callable[..., Observations]


def _draw(rng: np.random.Generator, patients: int, *, images: int = 1, **shift: Any) -> Observations:
    """Draw a batch: `images` a patient, each field with a part that is the patient's own.

    Args:
        rng: Source of chance.
        patients: Number of patients.
        images: Images of each.
        shift: `kvp`, `mean` and `spacing` move a measure by so many standard deviations, `ap` is the share of AP films,
            `maker` the manufacturer.
    """
    count = patients * images
    units = np.repeat(np.arange(patients), images)
    own = rng.normal(size=patients)[units]
    columns: Mapping[str, list[object]] = {
        "KVP": list(110 + 8 * (0.8 * own + 0.6 * rng.normal(size=count) + shift.get("kvp", 0.0))),
        "image_mean": list(0.5 + 0.1 * (rng.normal(size=count) + shift.get("mean", 0.0))),
        "PixelSpacing": [
            f"{x:.3f}\\{x:.3f}" for x in 0.2 + 0.01 * (rng.normal(size=count) + shift.get("spacing", 0.0))
        ],
        "ViewPosition": ["AP" if x < shift.get("ap", 0.3) else "PA" for x in rng.uniform(size=count)],
        "Manufacturer": [shift.get("maker") or ("Lumenara" if x < 0.6 else "Kestrel") for x in rng.uniform(size=count)],
        "Modality": ["DX"] * count,
    }
    return observe(units.tolist(), columns)


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Return a maker of batches."""
    return _draw
