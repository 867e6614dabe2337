"""A scorer made of scorers: each reads its own columns of the features and scores its own concepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.pipeline import kind_of
from osler.bottleneck.protocols import Record, Scorer, Tensors
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

FILL = "part.fill"  # No scorer names a tensor of its own so.


@dataclass(frozen=True, eq=False)
class Part:
    """A scorer and what it reads.

    Attributes:
        scorer: Features to some of the concepts.
        start: Its first column of the features.
        stop: The column after its last.
        fill: What a scorer that cannot read NaN is given in its place (stop - start,): the source's means, which say
            nothing. None gives it the features as they are.
    """

    scorer: Scorer
    start: int
    stop: int
    fill: Array | None = None

    def features(self, features: Features) -> Features:
        """Return its columns of the features, tokens' too."""
        own = replace(
            features,
            pooled=self._own(features.pooled),
            tokens=None if features.tokens is None else self._own(features.tokens),
            steps=None if features.steps is None else self._own(features.steps),
        )
        return own

    def _own(self, values: Array) -> Array:
        own = values[..., self.start : self.stop]
        return own if self.fill is None else np.where(np.isnan(own), self.fill, own)


@dataclass(frozen=True, eq=False)
class JoinedScorer:
    """Scorers side by side; no concept belongs to two of them.

    Attributes:
        parts: The scorers with their columns.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        wrong = [one for one in self.parts if not 0 <= one.start < one.stop or not _fits(one)]
        if not self.parts or wrong or len(set(self.ids)) < len(self.ids):
            raise OslerError(
                Code.MODEL_INVALID,
                f"A joined scorer got {len(self.parts)} parts over {len(self.ids)} concepts, of which "
                f"{len(set(self.ids))} differ, and {len(wrong)} parts whose columns do not fit.",
                "Give each concept to one part, and each part its first column and the one after its last.",
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """The concepts of all parts."""
        return tuple(one for part in self.parts for one in part.scorer.ids)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The range of the values where all parts have the same; else None."""
        ranges = {part.scorer.value_range for part in self.parts}
        return ranges.pop() if len(ranges) == 1 else None

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score the concepts of `bank`, in its order.

        Returns:
            The parts' states in one. Where only some parts give probabilities, the others' are NaN; maps are there where
            every part gives them on one grid.

        Raises:
            OslerError: `unknown-concept`; `model-invalid` where the features have too few columns.
        """
        columns(self.ids, bank.ids, "scorer")
        stop = max(part.stop for part in self.parts)
        if features.pooled.shape[1] < stop:
            raise OslerError(
                Code.MODEL_INVALID,
                f"The joined scorer reads {stop} columns, the features have {features.pooled.shape[1]}.",
                "Give features of the joined encoder that the model was fitted with.",
            )
        states = [
            part.scorer.score(part.features(features), bank.subset(own)) for part, own, _ in self._asked(bank.ids)
        ]
        return _joined(states, bank.ids)

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """Let each part set its own concepts under `mask` (B, C) to `truth` (B, C) in [0, 1], in its own way."""
        for part, own, places in self._asked(state.ids):
            set_ = part.scorer.clamp(_taken(state, own, places), mask[:, places], truth[:, places])
            state = _put(state, set_, places)
        return state

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store: the parts' tensors under their numbers, their kinds and columns."""
        tensors: Tensors = {}
        records = []
        for number, part in enumerate(self.parts):
            own, record = part.scorer.to_artefact()
            tensors |= {f"{number}.{name}": array for name, array in own.items()}
            if part.fill is not None:
                tensors[f"{number}.{FILL}"] = part.fill
            records.append({"kind": kind_of(part.scorer), "start": part.start, "stop": part.stop, "scorer": record})
        return tensors, {"ids": list(self.ids), "parts": records}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> JoinedScorer:
        """Build the scorer from what was stored."""
        parts = []
        for number, one in enumerate(record["parts"]):
            if not one["kind"].isidentifier():
                raise ValueError("A kind is the name of a module")
            own = {
                name.removeprefix(f"{number}."): array
                for name, array in tensors.items()
                if name.startswith(f"{number}.")
            }
            fill = own.pop(FILL, None)
            module = import_module(f"osler.bottleneck.scorers.{one['kind']}")
            parts.append(Part(module.SCORER.from_artefact(own, one["scorer"]), one["start"], one["stop"], fill))
        return cls(tuple(parts))

    def _asked(self, ids: tuple[str, ...]) -> Iterator[tuple[Part, tuple[str, ...], NDArray[np.intp]]]:
        """Yield each part that is asked for something, its concepts in the order of `ids`, and where they stand there."""
        for part in self.parts:
            own = tuple(one for one in ids if one in set(part.scorer.ids))
            if own:
                yield part, own, columns(ids, own, "concept state")


SCORER = JoinedScorer


def _fits(part: Part) -> bool:
    return part.fill is None or (part.fill.shape == (part.stop - part.start,) and bool(np.isfinite(part.fill).all()))


def _joined(states: list[ConceptState], ids: tuple[str, ...]) -> ConceptState:
    order = columns(tuple(one for state in states for one in state.ids), ids, "scorer")
    grids = {None if state.maps is None else state.maps.shape[3:] for state in states}
    beside = {key: value for state in states for key, value in state.aux.items()}
    return ConceptState(
        value=np.concatenate([state.value for state in states], axis=2)[:, :, order],
        clamped=np.concatenate([state.clamped for state in states], axis=2)[:, :, order],
        ids=ids,
        logit=_side_by_side([(state.logit, state) for state in states], order),
        prob=_side_by_side([(state.prob, state) for state in states], order),
        maps=None
        if None in grids or len(grids) > 1
        else np.concatenate([np.asarray(state.maps) for state in states], axis=2)[:, :, order],
        aux=beside,
    )


def _side_by_side(given: list[tuple[Array | None, ConceptState]], order: NDArray[np.intp]) -> Array | None:
    if all(array is None for array, _ in given):
        return None
    filled = [np.full(state.clamped.shape, np.nan) if array is None else array for array, state in given]
    return np.asarray(np.concatenate(filled, axis=2)[:, :, order])


def _taken(state: ConceptState, ids: tuple[str, ...], places: NDArray[np.intp]) -> ConceptState:
    return replace(
        state,
        value=state.value[:, :, places],
        clamped=state.clamped[:, :, places],
        ids=ids,
        logit=None if state.logit is None else state.logit[:, :, places],
        prob=None if state.prob is None else state.prob[:, :, places],
        maps=None if state.maps is None else state.maps[:, :, places],
    )


def _put(state: ConceptState, part: ConceptState, places: NDArray[np.intp]) -> ConceptState:
    changed: dict[str, Any] = {}
    for name in ("value", "clamped", "logit", "prob"):
        old, new = getattr(state, name), getattr(part, name)
        if old is not None and new is not None:
            changed[name] = old.copy()
            changed[name][:, :, places] = new
    return replace(state, **changed)
