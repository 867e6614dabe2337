"""Site patches as a person would write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.pipeline import Pipeline


def by_hand(pipeline: Pipeline, deltas: Mapping[str, ConceptDelta], **changes: Any) -> SitePatch:
    """Return a patch of a model for site b; changes replace what it says otherwise."""
    usual = {"site": "b", "adapter": "by hand", "created": "2024-05-01", "reason": "a reason"}
    named = {"model": pipeline.digest, "bank": pipeline.bank.digest, "deltas": dict(deltas)}
    return SitePatch(**(usual | named | changes))


def masked(pipeline: Pipeline, concept: str, sentence: str = "masked") -> dict[str, ConceptDelta]:
    """Return what leaves a concept aside."""
    return {
        concept: ConceptDelta(float(pipeline.neutral[pipeline.bank.ids.index(concept)]), mask=True, sentence=sentence)
    }


def shifted(pipeline: Pipeline) -> SitePatch:
    """Return a patch as an adapter fits one to support studies."""
    return by_hand(
        pipeline,
        {"concept_1": ConceptDelta(neutral=0.5, shift=0.25)},
        adapter="tti_affine",
        reason="One concept was shifted.",
        shots={"pneumonia": 4},
        support="0" * 64,
    )
