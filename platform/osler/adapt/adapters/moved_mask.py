"""`moved_mask`: a concept that fires more at the site than at the source, and there for the wrong class, is masked.

The unlabelled studies say which concepts moved: two-sample Kolmogorov-Smirnov against the source's held-out studies, Benjamini
and Hochberg at `fdr`. Where more than `most_moved` of them did, no single concept is to blame (another scanner, another
stain), and nothing is masked: `site_correction` is for that. Of the rest a concept c is flagged in a labelled study i of class
k with rival r where its mean rose, it fires (`a_ic` above the value that says nothing), fires more than class k does at the
source (`a_ic > mu_kc`), and speaks for the rival (`W[r,c] > W[k,c]`). With

    Q_c = class-balanced mean over the shots of (W[r,c] - W[k,c]) (a_ic - neutral_c) where c is flagged

c is masked where it is flagged in at least `agreement` of one class's shots and Q_c is at least `least` of the spread of the
logits, the largest Q first, at most `mask_share` of the concepts. The shots must not speak against it: left out in turn, their
mean bounded margin may not fall by more than `caution` standard errors. What the source would lose is measured and said, and
holds nothing back: the patch acts at its own site only, and a concept that misleads there is worth keeping here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import ConceptDelta
from osler.adapt.committee import spread_of
from osler.adapt.guards import Edit, LeaveOneShotOut, class_balanced_mean, margins
from osler.adapt.linear_model import LinearModel
from osler.adapt.moved import moved
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import Labels, shots, site_values
from osler.adapt.source_hold import SourceHold
from osler.adapt.tti_steps import agreements, choose_masked, confusion, places, rivals
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class MovedMask:
    """Masks by contradiction.

    Attributes:
        fdr: False-discovery rate over all concepts at which one counts as moved.
        most_moved: Share of moved concepts beyond which none is masked.
        agreement: Share of one class's shots that must flag a concept.
        least: Margin that a concept must cost, as a share of the spread of the logits.
        mask_share: At most this share of concepts is masked.
        caution: Standard errors by which the shots must speak against the masks to stop them.
        min_shots: Fewest shots a class.
    """

    fdr: float = 0.001
    most_moved: float = 0.5
    agreement: float = 0.25
    least: float = 0.02
    mask_share: float = 0.1
    caution: float = 2.0
    min_shots: int = 1

    name: ClassVar[str] = "moved_mask"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        shares = (self.fdr, self.most_moved, self.agreement, self.mask_share)
        if self.min_shots < 1 or min(self.least, self.caution) < 0 or not all(0 < share <= 1 for share in shares):
            raise OslerError(
                Code.USAGE,
                f"{self.name} got shares {shares}, least {self.least:g}, caution {self.caution:g}, {self.min_shots} shots at least.",
                "Give shares above 0 and up to 1, a least and a caution of 0 or more, and at least 1 shot.",
            )

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        model = LinearModel.of(pipeline)
        values, y = shots(pipeline, support, self.min_shots)
        everything = site_values(pipeline, support)
        rose, share = self._rose(pipeline, model, everything)
        spread = spread_of(model.logits(everything))
        reason = "No change: no concept that moved speaks for the wrong class in these studies."
        guards: tuple[GuardOutcome, ...] = ()
        masked: list[int] = []
        if share > self.most_moved:
            reason = (
                f"No change: {share:.0%} of the concepts moved, so that no single one is to blame. Set the scale instead "
                "(site_correction)."
            )
        elif (edit := self._edit(model, rose, spread, values, y)).mask.any():
            guards = self._guards(model, rose, spread, values, y, edit)
            counted = f"{edit.mask.sum()} concept{'' if edit.mask.sum() == 1 else 's'}"
            reason = f"{counted} masked that fire more here than at the source, and for the wrong class."
            if guards[0].passed:
                masked = places(edit.mask)
            else:
                reason = f"No change: {counted} to mask, but {guards[0].sentence[0].lower()}{guards[0].sentence[1:]}"
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=reason,
            deltas={model.ids[c]: self._delta(model, everything, c) for c in masked},
            blend=1.0 if masked else 0.0,
            guards=guards,
        )

    def _rose(self, pipeline: Pipeline, model: LinearModel, everything: Array) -> tuple[BoolArray, float]:
        """Return which concepts rose beyond chance (C,), and the share of all that moved either way."""
        found = {one.id: one for one in moved(pipeline, everything, self.fdr)}
        rose = np.array([one in found and found[one].beyond_chance and found[one].shift > 0 for one in model.ids])
        return rose, float(np.mean([one.beyond_chance for one in found.values()])) if found else 0.0

    def _edit(self, model: LinearModel, rose: BoolArray, spread: float, values: Array, y: Labels) -> Edit:
        rival = rivals(model.logits(values), y)
        weights, neutral = model.weights, model.neutral
        found = rose & (weights[rival] > weights[y]) & (values > neutral) & (values > model.source.mean[y])
        lost = confusion(values, y, rival, weights, neutral, found)
        lost = np.where(lost >= self.least * spread, lost, 0.0)
        agreed = agreements(found, y, len(weights))
        mask = choose_masked(lost, agreed, model.ids, agreement=self.agreement, share=self.mask_share)
        return Edit(mask, np.ones(len(mask)), neutral, model.value_range)

    def _guards(
        self, model: LinearModel, rose: BoolArray, spread: float, values: Array, y: Labels, edit: Edit
    ) -> tuple[GuardOutcome, ...]:
        """Return what the shots left out say, and what the source would lose."""
        left_out = LeaveOneShotOut.fit(
            values, y, lambda some, theirs: self._edit(model, rose, spread, some, theirs), edit
        )
        after = np.concatenate(
            [one.logits(model.logits, row[None]) for one, row in zip(left_out.edits, values, strict=True)]
        )
        before = np.tanh(margins(model.logits(values), y) / spread)
        gain = np.tanh(margins(after, y) / spread) - before
        mean, error = class_balanced_mean(gain, y), float(gain.std() / np.sqrt(len(gain)))
        low = class_balanced_mean(before, y)
        said = (
            f"The right finding's lead in studies left out, from -1 to 1: {low:+.3f} before, {low + mean:+.3f} after, "
            f"standard error of the difference {error:.3f}."
        )
        hold = SourceHold(model, values, 1.0, 0.0)
        return (
            GuardOutcome("leave-shots-out", bool(mean >= -self.caution * error), low, low + mean, said),
            hold.judged(edit.logits(model.logits, model.source.values)),
        )

    def _delta(self, model: LinearModel, everything: Array, c: int) -> ConceptDelta:
        source, here = model.source.values[:, c], everything[:, c]
        rise = (here.mean() - source.mean()) / (source.std() or 1.0)
        sentence = (
            f"masked *{model.names[c]}*: fires more at this site than at the source (by {rise:.1f} of its standard deviations "
            f"over {len(here)} studies), and for the wrong class in the labelled ones"
        )
        return ConceptDelta(neutral=float(model.neutral[c]), mask=True, gain=1.0, shift=0.0, sentence=sentence)


ADAPTER = MovedMask
