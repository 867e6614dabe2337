"""`tti_reading`: our reading of training-free test-time improvement (arXiv 2506.18070), whose formulas are not published.

Concepts that confuse a new site are masked, discriminative ones that it under-activates are amplified; nothing is
trained. It is not the authors' algorithm, and must not be reported as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import ConceptDelta
from osler.adapt.guards import Edit, LeaveOneShotOut, check_support, source_outcome
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.tti_steps import (
    Labels,
    agreements,
    choose_gains,
    choose_masked,
    class_means,
    confusion,
    excess,
    flags,
    places,
    rivals,
    significant,
    under_activated,
)
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Support
from osler.bottleneck.source import SourceReference


@dataclass(frozen=True)
class TtiReading:
    """The adapter: a few labelled studies of a site to a `SitePatch`, which may well be "no change".

    Attributes:
        fdr: False-discovery rate over all classes and concepts.
        agreement: Share of one class's shots that must flag a concept before it is masked.
        mask_share: At most this share of concepts is masked.
        amplify_share: Share of concepts that count as discriminative for a class.
        max_gain: Largest gain.
        blends: Strengths that are tried, strongest first.
        source_tolerance: How much the ungated source accuracy may fall, as a fraction.
        min_shots: Fewest shots a class.
        masked_to: Value of a masked concept: the source's `mean`, or `zero`.
    """

    fdr: float = 0.1
    agreement: float = 0.5
    mask_share: float = 0.1
    amplify_share: float = 0.2
    max_gain: float = 3.0
    blends: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    source_tolerance: float = 0.005
    min_shots: int = 1
    masked_to: str = "mean"

    name: ClassVar[str] = "tti_reading"
    needs_labels: ClassVar[bool] = True

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch.

        Args:
            pipeline: The frozen source pipeline.
            support: Labelled studies of the site, in any order.
            created: ISO date that the patch will bear.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        y = check_support(support, pipeline.classes, self.min_shots)
        values, y = _in_order(pipeline.predict_features(support.features).state.static, y)
        fit = TtiFit.bind(pipeline, self)
        edit = fit.edit(values, y)
        blend, guards = (0.0, ()) if edit.empty else fit.guarded(values, y, edit)
        deltas = {} if blend == 0 else _deltas(fit, values, y, edit)
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=_reason(deltas, edit, guards),
            deltas=deltas,
            blend=blend,
            guards=guards,
        )


@dataclass(frozen=True, eq=False)
class TtiFit:
    """The reading bound to one model: its weights and its source, in the bank's order."""

    pipeline: Pipeline
    settings: TtiReading
    weights: Array
    source: SourceReference
    neutral: Array

    @classmethod
    def bind(cls, pipeline: Pipeline, settings: TtiReading) -> TtiFit:
        """Bind the settings to a pipeline with a head that is linear in concepts.

        Raises:
            OslerError: `model-invalid` where it is not.
        """
        source = pipeline.source.aligned(pipeline.bank.ids)
        return cls(pipeline, settings, pipeline.head_weights(), source, source.neutral)

    def logits(self, values: Array) -> Array:
        """Return the head's logits (n, K)."""
        return self.pipeline.predict_values(values).logits

    def flagged(self, values: Array, y: Labels) -> tuple[BoolArray, Array]:
        """Return flags (n, C) and the margin lost to them (C,)."""
        rival = rivals(self.logits(values), y)
        fires_more = significant(excess(values, y, self.source), self.settings.fdr)
        found = flags(values, y, rival, self.weights, self.neutral, fires_more)
        return found, confusion(values, y, rival, self.weights, self.neutral, found)

    def weak(self, values: Array, y: Labels) -> BoolArray:
        """Return which concepts each class shows too weakly (K, C)."""
        return under_activated(
            values, y, self.weights, self.source, self.neutral, fdr=self.settings.fdr, share=self.settings.amplify_share
        )

    def edit(self, values: Array, y: Labels) -> Edit:
        """Return what the support asks for, before any guard."""
        found, lost = self.flagged(values, y)
        agreed = agreements(found, y, len(self.weights))
        mask = choose_masked(
            lost, agreed, self.source.ids, agreement=self.settings.agreement, share=self.settings.mask_share
        )
        means = class_means(values, y, len(self.weights))
        gain = choose_gains(means, self.weak(values, y), self.source, self.neutral, self.settings.max_gain)
        neutral = np.where(mask & (self.settings.masked_to == "zero"), 0.0, self.neutral)
        return Edit(mask, np.where(mask, 1.0, gain), neutral, self.pipeline.scorer.value_range)

    def guarded(self, values: Array, y: Labels, edit: Edit) -> tuple[float, tuple[GuardOutcome, ...]]:
        """Return the strongest blend that passes every guard, or 0, with what the guards measured there."""
        folds = LeaveOneShotOut.fit(values, y, self.edit, edit)
        first: tuple[GuardOutcome, ...] = ()
        for blend in self.settings.blends:
            outcomes = (
                folds.outcome(self.logits, blend),
                source_outcome(
                    self.logits, self.source.values, self.source.y, edit, blend, self.settings.source_tolerance
                ),
            )
            if all(outcome.passed for outcome in outcomes):
                return blend, outcomes
            first = first or outcomes
        return 0.0, first

    def sentences(self, values: Array, y: Labels, edit: Edit) -> dict[int, str]:
        """Return why each changed concept is changed, by its place."""
        z = excess(values, y, self.source)
        agreed = agreements(self.flagged(values, y)[0], y, len(self.weights))
        weak = np.where(self.weak(values, y), np.abs(z), 0)
        masked = {c: self._masked(values, y, z, int(agreed[:, c].argmax()), c) for c in places(edit.mask)}
        return masked | {c: self._amplified(z, edit, int(weak[:, c].argmax()), c) for c in places(edit.gain > 1)}

    def _masked(self, values: Array, y: Labels, z: Array, k: int, c: int) -> str:
        shots = values[y == k, c]
        fired = int((shots > self.neutral[c]).sum())
        return (
            f"masked *{self.pipeline.bank.concepts[c].name}*: fired in {fired} of {len(shots)} "
            f"{_plain(self.pipeline.classes[k])} studies at this site (z={z[k, c]:+.1f})"
        )

    def _amplified(self, z: Array, edit: Edit, k: int, c: int) -> str:
        weaker = "weaker" if self.source.mean[k, c] > self.neutral[c] else "less clearly absent"
        return (
            f"amplified *{self.pipeline.bank.concepts[c].name}* by {edit.gain[c]:.2f}: {weaker} in "
            f"{_plain(self.pipeline.classes[k])} studies at this site than at the source (z={z[k, c]:+.1f})"
        )


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _in_order(values: Array, y: Labels) -> tuple[Array, Labels]:
    """Return the shots in an order of their own, so that sums do not depend on the order in which they came."""
    order = np.lexsort((*values.T, y))
    return values[order], y[order]


def _deltas(fit: TtiFit, values: Array, y: Labels, edit: Edit) -> dict[str, ConceptDelta]:
    return {
        fit.source.ids[c]: ConceptDelta(
            neutral=float(edit.neutral[c]), mask=bool(edit.mask[c]), gain=float(edit.gain[c]), sentence=sentence
        )
        for c, sentence in fit.sentences(values, y, edit).items()
    }


def _reason(deltas: dict[str, ConceptDelta], edit: Edit, guards: tuple[GuardOutcome, ...]) -> str:
    masked, amplified = int(edit.mask.sum()), int((edit.gain > 1).sum())
    if deltas:
        return f"{masked} concepts masked and {amplified} amplified, as the support asks and the guards allow."
    if edit.empty:
        return "No change: no concept confuses or under-activates beyond chance in these studies."
    failed = "; ".join(guard.sentence.rstrip(".") for guard in guards if not guard.passed)
    return f"No change: masking {masked} and amplifying {amplified} concepts would not pass the guards ({failed})."


ADAPTER = TtiReading
