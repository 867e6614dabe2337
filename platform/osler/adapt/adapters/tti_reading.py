"""`tti_reading`: our reading of training-free test-time improvement (arXiv 2506.18070), whose formulas are not published.

Concepts that confuse a new site are masked, discriminative ones that it under-activates are amplified; nothing is
trained. It is not the authors' algorithm, and must not be reported as such. Mathematics: M2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.guards import Edit, LeaveOneShotOut
from osler.adapt.linear_model import LinearModel
from osler.adapt.tti import Proposal, TtiAdapter
from osler.adapt.tti_steps import (
    Labels,
    agreements,
    choose_gains,
    choose_masked,
    claims,
    class_means,
    confusion,
    excess,
    find_flags,
    places,
    source_evidence,
    under_activated,
)
from osler.bottleneck.records import Array, BoolArray


@dataclass(frozen=True)
class TtiReading(TtiAdapter):
    """Confusing concepts masked, under-activated ones amplified.

    Attributes:
        fdr: False-discovery rate over all classes and concepts.
        agreement: Share of one class's shots that must flag a concept before it is masked.
        mask_share: At most this share of concepts is masked.
        amplify_share: Share of concepts that count as discriminative for a class.
        max_gain: Largest gain.
    """

    fdr: float = 0.1
    agreement: float = 0.5
    mask_share: float = 0.1
    amplify_share: float = 0.2
    max_gain: float = 3.0

    name: ClassVar[str] = "tti_reading"
    quiet: ClassVar[str] = "no concept confuses or under-activates beyond chance in these studies"

    def propose(self, model: LinearModel, values: Array, y: Labels) -> Proposal:
        """Return what the shots ask for; see `TtiAdapter.propose`."""
        claimed = claims(source_evidence(model.weights, model.source.mean), model.ids, self.amplify_share)

        def fit(some: Array, their_y: Labels) -> Edit:
            return self._edit(model, claimed, some, their_y)

        edit = fit(values, y)
        if edit.empty:
            return Proposal.of_nothing(edit, values, y)
        left_out = LeaveOneShotOut.fit(values, y, fit, edit)
        return Proposal(edit, left_out, self._sentences(model, claimed, values, y, edit))

    def _edit(self, model: LinearModel, claimed: BoolArray, values: Array, y: Labels) -> Edit:
        """Return masks and gains, before any guard."""
        found, rival = find_flags(model.logits(values), values, y, model.weights, model.source, fdr=self.fdr)
        lost = confusion(values, y, rival, model.weights, model.neutral, found)
        agreed = agreements(found, y, len(model.weights))
        mask = choose_masked(lost, agreed, model.ids, agreement=self.agreement, share=self.mask_share)
        means = class_means(values, y, len(model.weights))
        weak = under_activated(values, y, model.source, claimed, self.fdr)
        gain = choose_gains(means, weak, model.source, model.neutral, self.max_gain)
        return Edit(mask, np.where(mask, 1.0, gain), self.held_at(model, mask), model.value_range)

    def _sentences(
        self, model: LinearModel, claimed: BoolArray, values: Array, y: Labels, edit: Edit
    ) -> dict[int, str]:
        z = excess(values, y, model.source)
        found, _ = find_flags(model.logits(values), values, y, model.weights, model.source, fdr=self.fdr)
        agreed = agreements(found, y, len(model.weights))
        weak = np.where(under_activated(values, y, model.source, claimed, self.fdr), np.abs(z), 0)
        masked = {c: _masked(model, values, y, z, int(agreed[:, c].argmax()), c) for c in places(edit.mask)}
        return masked | {c: _amplified(model, z, edit, int(weak[:, c].argmax()), c) for c in places(edit.gain > 1)}


def _masked(model: LinearModel, values: Array, y: Labels, z: Array, k: int, c: int) -> str:
    shots = values[y == k, c]
    fired = int((shots > model.neutral[c]).sum())
    return (
        f"masked *{model.names[c]}*: fired in {fired} of {len(shots)} {model.spoken(k)} studies at this site "
        f"(z={z[k, c]:+.1f})"
    )


def _amplified(model: LinearModel, z: Array, edit: Edit, k: int, c: int) -> str:
    weaker = "weaker" if model.source.mean[k, c] > model.neutral[c] else "less clearly absent"
    return (
        f"amplified *{model.names[c]}* by {edit.gain[c]:.2f}: {weaker} in {model.spoken(k)} studies at this site "
        f"than at the source (z={z[k, c]:+.1f})"
    )


ADAPTER = TtiReading
