"""`tti_greedy`: concepts masked or amplified by direct search for the likelihood of the shots (methods, M2.2).

A reading of ours, not the algorithm of arXiv 2506.18070, and not to be reported as such. The search runs once per fold,
each leaving out one shot of every class; an edit that fewer than half of the folds choose is not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from osler.adapt.guards import Edit, LeaveOneShotOut
from osler.adapt.linear_model import LinearModel
from osler.adapt.tti import Proposal, TtiAdapter
from osler.adapt.tti_search import Candidates, Found, LikelihoodSearch, folds
from osler.adapt.tti_steps import Labels
from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class TtiGreedy(TtiAdapter):
    """Masks and gains chosen one after the other, whichever adds most to the likelihood of the shots.

    Attributes:
        gains: Gains that are tried.
        penalty: What an edit must add to the class-balanced mean log-likelihood.
        share: At most this share of concepts is edited.
        support: Share of folds that must choose an edit.
        folds: Most folds; with more shots a class than that, a fold leaves out several.
        unfolded: Most edits where every class has one shot, so that there are no folds.
    """

    gains: tuple[float, ...] = (1.5, 2.0, 3.0)
    penalty: float = 0.01
    share: float = 0.1
    support: float = 0.5
    folds: int = 8
    unfolded: int = 2

    name: ClassVar[str] = "tti_greedy"
    quiet: ClassVar[str] = "no edit of a concept makes these studies likelier in half of the folds"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds < 2 or not all(gain > 1 for gain in self.gains):
            raise OslerError(
                Code.USAGE,
                f"{self.name} got {self.folds} folds and gains {self.gains}.",
                "Give at least 2 folds, and gains above 1.",
            )

    def propose(self, model: LinearModel, values: Array, y: Labels) -> Proposal:
        """Return what the shots ask for; see `TtiAdapter.propose`."""
        everyone = np.ones(len(y), np.bool_)
        outer = folds(y, everyone, self.folds)
        candidates = self._candidates(model, values)
        # Each fold is searched as the whole is, folds of its own and all, so that its shots have no say in its edit.
        found, votes = self._search(model, values, y, candidates, np.concatenate([everyone[None], outer]))
        edits = [self._edit(model, candidates, one) for one in found]
        single = [bool(row.all()) for row in outer.T]
        left_out = tuple(edits[0] if alone else edits[1 + int(outer[:, i].argmin())] for i, alone in enumerate(single))
        return Proposal(
            edits[0],
            LeaveOneShotOut(values, y, left_out, tuple(single)),
            _sentences(model, candidates, found[0], votes[0], len(outer)),
        )

    def _candidates(self, model: LinearModel, values: Array) -> Candidates:
        return Candidates.of(
            values,
            model.weights / model.temperature,
            model.ids,
            self.gains,
            neutral=model.neutral,
            masked_to=self.held_at(model, np.ones(len(model.ids), np.bool_)),
            value_range=model.value_range,
        )

    def _search(
        self, model: LinearModel, values: Array, y: Labels, candidates: Candidates, subsets: BoolArray
    ) -> tuple[list[Found], list[Array]]:
        """Return what is found in subsets of the shots (S, n), each with its folds, and the folds' votes (M,)."""
        search = LikelihoodSearch(model.logits(values) / model.temperature, y, candidates, self.penalty)
        most = ceil(self.share * len(model.ids))
        inner = [folds(y, subset, self.folds) for subset in subsets]
        kept, place = np.unique(np.concatenate(inner), axis=0, return_inverse=True)
        places = np.split(place.ravel(), np.cumsum([len(one) for one in inner])[:-1])
        anything = np.ones((len(kept), len(candidates.gain)), np.bool_)
        chosen = _chosen(search.search(kept, anything, np.full(len(kept), most)), len(candidates.gain))
        votes = [chosen[rows].sum(axis=0) for rows in places]
        allowed = [
            v >= max(self.support * len(rows), 1) if len(rows) else v == 0
            for v, rows in zip(votes, places, strict=True)
        ]
        limit = [most if len(rows) else min(most, self.unfolded) for rows in places]
        return search.search(subsets, np.stack(allowed), np.array(limit, np.intp)), votes

    def _edit(self, model: LinearModel, candidates: Candidates, found: Found) -> Edit:
        mask, gain = np.zeros(len(model.ids), np.bool_), np.ones(len(model.ids))
        for m in found.chosen:
            mask[candidates.concept[m]] = candidates.mask[m]
            gain[candidates.concept[m]] = candidates.gain[m]
        return Edit(mask, gain, self.held_at(model, mask), model.value_range)


def _chosen(found: list[Found], candidates: int) -> BoolArray:
    """Return which candidates each search chose (F, M)."""
    chosen = np.zeros((len(found), candidates), np.bool_)
    for row, one in zip(chosen, found, strict=True):
        row[list(one.chosen)] = True
    return chosen


def _sentences(model: LinearModel, candidates: Candidates, found: Found, votes: Array, folds: int) -> dict[int, str]:
    said = {}
    for m, gained in zip(found.chosen, found.gains, strict=True):
        c = int(candidates.concept[m])
        what = f"masked *{model.names[c]}*"
        if not candidates.mask[m]:
            what = f"amplified *{model.names[c]}* by {candidates.gain[m]:g}"
        agreed = f"chosen in {int(votes[m])} of {folds} folds" if folds else "one study a class, so no folds"
        said[c] = f"{what}: mean log-likelihood of the shots {gained:+.3f}; {agreed}"
    return said


ADAPTER = TtiGreedy
