"""Tables of predictions whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from osler_training.evaluate.records import Records


def _records(n: int = 120, count: int = 4, seed: int = 0, *, noise: float = 1.0, **changes: Any) -> Records:
    """Build a table of three classes and some concepts, two studies a patient, two sites."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, (n, count)).astype(float)
    y = draw.integers(0, 3, n)
    logit = (2 * truth - 1) * 1.5 + noise * draw.normal(size=(n, count))
    parts: dict[str, Any] = {
        "classes": ("one", "two", "three"),
        "y": y,
        "prob": softmax(1.5 * np.eye(3)[y] + noise * draw.normal(size=(n, 3)), axis=1),
        "studies": tuple(f"s{i}" for i in range(n)),
        "patients": tuple(f"p{i // 2}" for i in range(n)),
        "sites": tuple("ab"[i % 2] for i in range(n)),
        "attributes": pd.DataFrame(
            {"sex": [("F", "M")[i % 3 == 0] for i in range(n)], "age": draw.uniform(20, 90, n).round()}
        ),
        "concepts": tuple(f"concept_{c}" for c in range(count)),
        "concept_value": logit,
        "concept_prob": expit(logit),
        "concept_truth": truth,
        "head": {"method": "planted", "seed": seed, "split_digest": "0" * 64},
    }
    return Records(**{**parts, **changes})


@pytest.fixture(scope="session")
def make_records() -> Callable[..., Records]:
    """Return a maker of tables."""
    return _records
