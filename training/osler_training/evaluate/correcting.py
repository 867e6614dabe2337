"""A bottleneck whose concepts can be corrected group by group, through its scorer's `clamp` alone (M19.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import Labels

Groups = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Examined:
    """Test studies whose concepts annotators have seen.

    Attributes:
        features: What the encoder made of the images (n rows).
        y: True classes (n,).
        patients: Pseudonyms (n,).
        truth: Concepts (n, C) in {0, 1, NaN}.
        concepts: Identifiers of the columns of `truth`.
        site: Where the studies come from; a patch of the pipeline holds there.
    """

    features: Features
    y: Labels
    patients: tuple[str, ...]
    truth: Array
    concepts: tuple[str, ...]
    site: str | None = None


class Bench:
    """Predictions under corrections; features are scored once.

    Args:
        pipeline: The bottleneck.
        tested: The studies.
        groups: Concepts that are corrected together, by name of group; a concept in no group is a group of its own.

    Raises:
        OslerError: `unknown-concept` where a group names a concept that the bottleneck lacks, or the truth lacks one;
            `usage` where a concept is in two groups; `nothing-eligible` where no concept has a known truth.
    """

    def __init__(self, pipeline: Pipeline, tested: Examined, groups: Groups | None = None) -> None:
        ids = pipeline.bank.ids
        self.pipeline, self.tested = pipeline, tested
        self.truth = tested.truth[:, columns(tested.concepts, ids, "truth")]
        self.known: BoolArray = ~np.isnan(self.truth)
        if not self.known.any():
            raise OslerError(
                Code.NOTHING_ELIGIBLE, "No concept of these studies was annotated.", "Use annotated studies."
            )
        self.member = _membership(ids, groups or {})
        self.state: ConceptState = pipeline.state(tested.features, site=tested.site)

    def __len__(self) -> int:
        return len(self.tested.y)

    @property
    def groups(self) -> int:
        """Number of groups G."""
        return len(self.member)

    @cached_property
    def open(self) -> BoolArray:
        """Which groups have anything to correct, by study (n, G)."""
        return np.asarray(self.known.astype(int) @ self.member.T.astype(int) > 0)

    @cached_property
    def believed(self) -> Array:
        """How likely the model holds each concept (n, C).

        Where its values are no probabilities, their place between what absent and present are clamped to.
        """
        if self.state.prob is not None:
            return np.asarray(self.state.prob.max(1))
        everything = np.ones(self.truth.shape, bool)
        low, high = (
            self.pipeline.scorer.clamp(self.state, everything, np.full(self.truth.shape, side)).static
            for side in (0.0, 1.0)
        )
        span = np.where(high == low, 1.0, high - low)
        return np.asarray(np.clip((self.state.static - low) / span, 0, 1))

    def logits(self, mask: BoolArray, truth: Array) -> Array:
        """Return class logits (n, K) with the concepts under `mask` (n, C) set to `truth` (n, C)."""
        state = self.pipeline.scorer.clamp(self.state, mask, np.where(mask, truth, 0.0))
        return self.pipeline.head.predict(state, self.tested.features).logits

    def corrected(self, groups: BoolArray) -> Array:
        """Return class probabilities (n, K) with groups (n, G) set to what is known of their truth."""
        return self.pipeline.calibration.probabilities(self.logits(self.concepts_of(groups) & self.known, self.truth))

    def concepts_of(self, groups: BoolArray) -> BoolArray:
        """Return the concepts (n, C) of groups (n, G)."""
        return np.asarray(groups.astype(int) @ self.member.astype(int) > 0)

    def first(self, score: Array, taken: BoolArray) -> NDArray[np.intp]:
        """Return the group of the highest score (n, G) that is open and not taken, -1 where there is none (n,)."""
        left = np.where(self.open & ~taken, score, -np.inf)
        return np.where(np.isneginf(left).all(1), -1, left.argmax(1))

    def take(self, taken: BoolArray, groups: NDArray[np.intp]) -> BoolArray:
        """Return which groups are taken (n, G) once each study takes one more (n,); -1 takes none."""
        more = taken.copy()
        some = groups >= 0
        more[np.flatnonzero(some), groups[some]] = True
        return more


def _membership(ids: tuple[str, ...], groups: Groups) -> BoolArray:
    named = [one for members in groups.values() for one in members]
    if len(set(named)) != len(named):
        raise OslerError(Code.USAGE, "A concept is in two groups.", "Name each concept in one group.")
    rows = [columns(ids, tuple(members), "bank") for members in groups.values()]
    rows += [columns(ids, (one,), "bank") for one in ids if one not in set(named)]
    member = np.zeros((len(rows), len(ids)), bool)
    for g, row in enumerate(rows):
        member[g, row] = True
    return member
