"""Tables of predictions whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Scorer
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_knowledge.bank import Citation, Concept, ConceptBank
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


def _bank(count: int, findings: tuple[str, ...]) -> ConceptBank:
    citation = Citation("a", "A", "What is seen.", 0, 13, ("A textbook, 2020",))
    concepts = tuple(
        Concept(f"concept_{c}", f"concept {c}", f"Is concept {c} there?", "lung", citation, {}) for c in range(count)
    )
    return ConceptBank("test", 1, "DX", findings, concepts)


def _pipeline(
    weight: np.ndarray, bias: np.ndarray, scorer: Scorer | None = None, *, sharpness: float = 1.0
) -> Pipeline:
    """Build a bottleneck whose features are concept logits, divided by the sharpness, with a linear head (K, C)."""
    K, C = weight.shape
    bank = _bank(C, tuple(f"class_{k}" for k in range(K)))
    own = LogisticScorer(bank.ids, sharpness * np.eye(C), np.zeros(C), normalised=False)
    y, values = np.arange(20) % K, np.full((20, C), 0.5)
    return Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=own if scorer is None else scorer,
        head=LinearHead(bank.ids, weight, bias),
        classes=bank.findings,
        source=SourceReference.measure(bank.ids, values, y, values, y, classes=K, site="a"),
    )


@pytest.fixture(scope="session")
def make_pipeline() -> Callable[..., Pipeline]:
    """Return a maker of bottlenecks."""
    return _pipeline
