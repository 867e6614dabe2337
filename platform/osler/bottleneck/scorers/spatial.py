"""Concept scores computed from concept maps, so that the map is the evidence and no afterthought (M10, SL-CBM)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax

from osler.bottleneck.affine import unit_norm
from osler.bottleneck.clamping import set_between
from osler.bottleneck.protocols import Record, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

ATTENTIONS = ("query", "own", "uniform")
# What an attention needs, and how many axes of length C each array has.
_EXTRA = {"query": {"query": 2, "key": 2}, "own": {"sharpness": 1}}
_ARRAYS = ("weights", "intercept", "percentiles", "query", "key", "sharpness", "places", "gain", "shift")
_FINITE, _EPSILON = 1e-6, 1e-5


@dataclass(frozen=True, eq=False)
class SpatialScorer:
    """A 1x1 map on the tokens, and pooling of each concept's map by attention.

    Maps `S = t W' + b` (B, N, C); pooled `a = sum_n p_n S_n`. The weights `p` over the tokens are

    - `query` (M10): `softmax_N((W_q q)(W_k S)' / sqrt(C))`, the same for all concepts, with `q` the pooled feature seen by
      the same 1x1 map;
    - `own`: `softmax_N(exp(sharpness_c) S_c)`, each concept's own, between the mean and the maximum of its map: a small
      lesion need not win the attention of all concepts to be seen;
    - `uniform`: the mean.

    With `places`, what each place of the grid shows on average at the source is taken off its map first: a heart is bright
    in every film, and only what is brighter than usual there is evidence.

    With `layer_norm`, maps and pooled values are normalised over the concepts as in M10, here inside the scorer, so that a
    linear head's contributions stay additive; a concept's value then depends on the others'.

    Attributes:
        ids: The concepts, in the order of the rows.
        weights: The 1x1 map (C, D).
        intercept: (C,).
        percentiles: 5th and 95th percentile of each value on the training split (C, 2): what absent and present mean when
            a concept is clamped.
        attention: One of `ATTENTIONS`.
        query: W_q (C, C), of attention `query`.
        key: W_k (C, C), of attention `query`.
        sharpness: (C,), of attention `own`.
        places: Mean map (N, C) at the source, or None; then only images of that grid can be scored.
        gain: (C,), what maps are multiplied by once normalised.
        shift: (C,), what is then added.
        layer_norm: Whether maps and values are normalised over the concepts; needs two concepts.
        normalised: Whether tokens and pooled features are divided by the L2 norm of their image's pooled feature first.
    """

    ids: tuple[str, ...]
    weights: Array
    intercept: Array
    percentiles: Array
    attention: str = "query"
    query: Array | None = None
    key: Array | None = None
    sharpness: Array | None = None
    places: Array | None = None
    gain: Array | None = None
    shift: Array | None = None
    layer_norm: bool = False
    normalised: bool = True

    def __post_init__(self) -> None:
        C = len(self.ids)
        wanted: dict[str, tuple[int, ...]] = {"weights": (C, *self.weights.shape[1:2]), "intercept": (C,)}
        wanted |= {"percentiles": (C, 2)} | {name: (C,) * axes for name, axes in _EXTRA.get(self.attention, {}).items()}
        wanted |= {"gain": (C,), "shift": (C,)} if self.layer_norm else {}
        found = {name: np.shape(getattr(self, name)) for name in wanted}
        if found != wanted or self.weights.ndim != 2 or self.attention not in ATTENTIONS or (self.layer_norm and C < 2):
            said = ", ".join(f"{name} {shape}" for name, shape in found.items())
            raise OslerError(
                Code.MODEL_INVALID,
                f"A spatial scorer of {C} concepts with attention {self.attention!r} got {said}.",
                f"Give (C, D), (C,), (C, 2), what the attention needs, and one of {', '.join(ATTENTIONS)}; "
                "normalising over concepts needs two.",
            )

    @property
    def value_range(self) -> None:
        """Pooled maps have no range."""
        return None

    @property
    def needs_tokens(self) -> bool:
        """Tokens are what it scores."""
        return True

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order.

        Returns:
            Pooled maps as values and logits (B, 1, C, 1); the maps (B, 1, C, h, w); in `aux["attention"]` the weights
            (B, C, h, w) that sum to one over each map: `sum(attention * maps)` is the logit.

        Raises:
            OslerError: `unknown-concept`; `part-missing` where the features have no tokens.
        """
        order = columns(self.ids, bank.ids, "scorer")
        maps, attention = self._maps(features)
        pooled = (attention * maps).sum(1)
        value = _over_concepts(pooled) if self.layer_norm else pooled
        shape = (len(features), 1, len(order), *(features.grid or ()))
        seen, weight = (one[:, :, order].transpose(0, 2, 1).reshape(shape) for one in (maps, attention))
        value, pooled = value[:, None, order], pooled[:, None, order]
        return ConceptState(
            value=value[..., None],
            clamped=np.zeros(value.shape, np.bool_),
            ids=bank.ids,
            logit=pooled,
            prob=expit(pooled),
            maps=seen,
            aux={"attention": weight[:, 0]},
        )

    def _maps(self, features: Features) -> tuple[Array, Array]:
        """Return maps and attention (B, N, C), in the scorer's own order."""
        tokens, query = token_inputs(features, normalised=self.normalised)
        maps: Array = tokens @ self.weights.T + self.intercept
        if self.places is not None:
            if self.places.shape != maps.shape[1:]:
                raise OslerError(
                    Code.MODEL_INVALID,
                    f"The model knows {len(self.places)} places, these features have {maps.shape[1]}.",
                    "Encode with the encoder and the image size that the model was fitted with.",
                )
            maps = maps - self.places
        if self.gain is not None and self.shift is not None:
            maps = _over_concepts(maps) * self.gain + self.shift
        if self.attention == "own" and self.sharpness is not None:
            return maps, softmax(np.exp(self.sharpness) * maps, axis=1)
        if self.attention == "query" and self.query is not None and self.key is not None:
            asked = query @ self.weights.T + self.intercept
            fit = np.einsum("bc,bnc->bn", asked @ self.query.T, maps @ self.key.T) / np.sqrt(len(self.ids))
            return maps, np.broadcast_to(softmax(fit, axis=1)[..., None], maps.shape)
        return maps, np.full(maps.shape, 1 / maps.shape[1])

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Set the values under `mask` (B, C) between the source's percentiles, by `truth` (B, C) in [0, 1]."""
        if state.logit is None or state.prob is None:
            raise ValueError("The state has no logits and probabilities; it was not made by this scorer")
        moved = set_between(state, mask, truth, self.percentiles[columns(self.ids, state.ids, "scorer")])
        prob = np.where(mask, truth, 0)[:, None]
        wanted = logit(np.clip(prob, _FINITE, 1 - _FINITE))
        return replace(
            moved,
            prob=np.where(mask[:, None], prob, state.prob),
            logit=np.where(mask[:, None], wanted, state.logit),
        )

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store."""
        tensors = {name: one for name in _ARRAYS if (one := getattr(self, name)) is not None}
        record = {name: getattr(self, name) for name in ("attention", "layer_norm", "normalised")}
        return tensors, {"ids": list(self.ids), **record}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> SpatialScorer:
        """Build the scorer from what was stored."""
        arrays = {name: tensors.get(name) for name in _ARRAYS}
        kept = {name: record[name] for name in ("attention", "layer_norm", "normalised")}
        return cls(tuple(record["ids"]), **{**arrays, **kept})


SCORER = SpatialScorer


def token_inputs(features: Features, *, normalised: bool) -> tuple[Array, Array]:
    """Return tokens (B, N, D) and what asks for them (B, D): the pooled feature, or where it has another width the mean token.

    Raises:
        OslerError: `part-missing` where the features have no tokens.
    """
    if features.tokens is None or features.grid is None:
        raise OslerError(
            Code.PART_MISSING,
            "A spatial scorer reads tokens, and these features have none.",
            "Encode with tokens=True, by an encoder that has them.",
        )
    norm = unit_norm(features, normalised)
    tokens = np.asarray(features.tokens, float) / norm[:, :, None]
    pooled = np.asarray(features.pooled, float) / norm
    return tokens, pooled if pooled.shape[1] == tokens.shape[2] else tokens.mean(1)


def _over_concepts(x: Array) -> Array:
    """Normalise the last axis to mean 0 and deviation 1, as LayerNorm does."""
    centred = x - x.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON))


def shown(maps: Array) -> Array:
    """Return maps (..., h, w), each brought to [0, 1] by its own range, for a reader's eye; a flat map is zero."""
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    wide = high - low
    return np.asarray((maps - low) / np.where(wide > 0, wide, 1))
