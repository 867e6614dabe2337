"""`tti_affine`: moments of concepts matched to the source's, shrunk by the number of shots (methods, M2.3).

The control of the other two readings: where it does as well, the gain came from recalibration rather than from an analysis
of confusion. Not the algorithm of arXiv 2506.18070, and not to be reported as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from osler.adapt.guards import Edit, LeaveOneShotOut
from osler.adapt.linear_model import LinearModel
from osler.adapt.tti import Proposal, TtiAdapter
from osler.adapt.tti_moments import aurocs, misfires, moved, narrowed, spread_ratio
from osler.adapt.tti_steps import Labels, class_means, places
from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class TtiAffine(TtiAdapter):
    """Each concept shifted and stretched at the site; those that point the wrong way masked.

    Attributes:
        kappa: Number of shots at which site and source weigh the same; 0 trusts the shots wholly.
        max_gain: Largest gain.
        fdr: False-discovery rate over all concepts: one whose mean, or whose spread over classes, is not off beyond chance
            keeps it. None moves every concept, chance or not.
        errors: A concept is masked where its AUROC lies below one half by more than so many standard errors.
    """

    kappa: float = 16.0
    max_gain: float = 3.0
    fdr: float | None = 0.1
    errors: float = 1.0

    name: ClassVar[str] = "tti_affine"
    quiet: ClassVar[str] = "no concept's moments are off beyond chance in these studies, and none points the wrong way"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kappa < 0 or self.max_gain < 1:
            raise OslerError(
                Code.USAGE,
                f"{self.name} got kappa {self.kappa:g} and a largest gain of {self.max_gain:g}.",
                "Give kappa from 0 and a gain from 1.",
            )

    def propose(self, model: LinearModel, values: Array, y: Labels) -> Proposal:
        """Return what the shots ask for; see `TtiAdapter.propose`."""

        def fit(some: Array, their_y: Labels) -> Edit:
            return self.edit(model, some, their_y)

        edit = fit(values, y)
        if edit.empty:
            return Proposal.of_nothing(edit, values, y)
        return Proposal(edit, LeaveOneShotOut.fit(values, y, fit, edit), self._sentences(model, values, y, edit))

    def edit(self, model: LinearModel, values: Array, y: Labels) -> Edit:
        """Return masks, gains and shifts, before any guard."""
        trust = len(y) / (len(y) + self.kappa)
        means = class_means(values, y, len(model.weights))
        shift = trust * (model.neutral - means.mean(axis=0))
        gain = np.clip(spread_ratio(model.source, means) ** trust, 1.0, self.max_gain)
        if self.fdr is not None:
            shift = np.where(moved(means, y, model.source, self.fdr), shift, 0.0)
            gain = np.where(narrowed(means, y, model.source, self.fdr), gain, 1.0)
        mask = misfires(values, y, model.source, self.errors)
        return Edit(
            mask,
            np.where(mask, 1.0, gain),
            self.held_at(model, mask),
            model.value_range,
            np.where(mask, 0.0, shift),
        )

    def _sentences(self, model: LinearModel, values: Array, y: Labels, edit: Edit) -> dict[int, str]:
        shift = np.broadcast_to(np.asarray(edit.shift), edit.mask.shape)
        ranked = aurocs(values, y, model.source)[0]
        said = {}
        for c in places(edit.mask | (edit.gain > 1) | (shift != 0)):
            name = f"*{model.names[c]}*"
            if edit.mask[c]:
                said[c] = (
                    f"masked {name}: it tells its classes from the others the wrong way round (AUROC {ranked[c]:.2f})"
                )
                continue
            what = [f"amplified {name} by {edit.gain[c]:.2f}"] if edit.gain[c] > 1 else []
            what += [f"shifted {name} by {shift[c]:+.3g}"] if shift[c] else []
            said[c] = f"{' and '.join(what)}: moments of {len(y)} studies matched to the source's"
        return said


ADAPTER = TtiAffine
