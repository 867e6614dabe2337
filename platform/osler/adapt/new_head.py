"""A head fitted at a site, written as what it adds to the model's own."""

from __future__ import annotations

import numpy as np

from osler.adapt.changes import HeadChange
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array

NAMED = 10  # Weights that are put into words; the record holds all of them.


def source_head(pipeline: Pipeline) -> tuple[Array, Array]:
    """Return weights (K, C), in the bank's order, and bias (K,) of the model, unpatched.

    Raises:
        OslerError: `model-invalid` where the head is not linear in concepts, or sees more than concepts.
    """
    weights = pipeline.head_weights()
    return weights, np.asarray(pipeline.predict_values(np.zeros((1, weights.shape[1]))).logits[0])


def replaced_head(pipeline: Pipeline, weights: Array, bias: Array) -> HeadChange:
    """Return the change that makes the model conclude with another head.

    The model divides logits by its temperature, so they are multiplied by it: calibrated probabilities are then exactly
    those of the head that was fitted.

    Args:
        pipeline: The model.
        weights: Weights of the new head (K, C), in the bank's order.
        bias: Its bias (K,).

    Raises:
        OslerError: as `source_head`.
    """
    own, own_bias = source_head(pipeline)
    temperature = pipeline.calibration.temperature
    weights, bias = temperature * weights, temperature * bias
    return HeadChange.of(
        pipeline.classes, pipeline.bank.ids, weights - own, bias - own_bias, sentences(pipeline, own, weights)
    )


def sentences(pipeline: Pipeline, before: Array, after: Array) -> tuple[str, ...]:
    """Say of the weights (K, C) that moved farthest, in units of what a concept varies by at the source, how they moved."""
    source = pipeline.source.aligned(pipeline.bank.ids)
    spread = np.sqrt((source.std**2).mean(axis=0))
    # A shift of a concept's weights in all classes alike changes no decision.
    moved = (after - after.mean(axis=0)) - (before - before.mean(axis=0))
    size = np.abs(moved * spread)
    farthest = np.argsort(-size, axis=None, kind="stable")[:NAMED]
    return tuple(
        f"{pipeline.classes[k].replace('_', ' ')}: weight of *{pipeline.bank.concepts[c].name}* "
        f"{before[k, c]:+.3g} -> {after[k, c]:+.3g}"
        for k, c in zip(*np.unravel_index(farthest, size.shape), strict=True)
        if size[k, c] > 0
    )
