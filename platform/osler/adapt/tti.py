"""What the three readings of training-free test-time improvement (M2) share: from shots to a guarded patch of concepts.

None of them is the authors' algorithm (arXiv 2506.18070, whose formulas are not published), nor may be reported as such.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.changes import ConceptDelta
from osler.adapt.guards import Edit, LeaveOneShotOut, strongest
from osler.adapt.linear_model import LinearModel
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import Labels, shots
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True, eq=False)
class Proposal:
    """What an adapter asks for, before any guard.

    Attributes:
        edit: Masks, gains and shifts.
        left_out: The same asked without each shot.
        sentences: Why each changed concept is changed, by its place.
    """

    edit: Edit
    left_out: LeaveOneShotOut
    sentences: dict[int, str]

    @classmethod
    def of_nothing(cls, edit: Edit, values: Array, y: Labels) -> Proposal:
        """Propose an edit that changes nothing; there is nothing to leave out."""
        return cls(edit, LeaveOneShotOut(values, y, (edit,) * len(y), (True,) * len(y)), {})


@dataclass(frozen=True)
class TtiAdapter(ABC):
    """A few labelled studies of a site to a `SitePatch` of the scorer, which may well be "no change".

    Attributes:
        blends: Strengths that are tried, strongest first.
        source_tolerance: How much the ungated source accuracy may fall, as a fraction.
        min_shots: Fewest shots a class.
        masked_to: Value of a masked concept: the source's `mean`, or `zero`.
    """

    blends: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    source_tolerance: float = 0.005
    min_shots: int = 1
    masked_to: Literal["mean", "zero"] = "mean"

    name: ClassVar[str]
    needs_labels: ClassVar[bool] = True
    quiet: ClassVar[str]  # Why nothing is asked for, where nothing is.

    def __post_init__(self) -> None:
        if self.min_shots < 1 or not all(0 < blend <= 1 for blend in self.blends):
            raise OslerError(
                Code.USAGE,
                f"{self.name} got {self.min_shots} shots a class at least, and blends {self.blends}.",
                "Give at least 1 shot, and blends above 0 and up to 1.",
            )

    @abstractmethod
    def propose(self, model: LinearModel, values: Array, y: Labels) -> Proposal:
        """Return what shots (n, C) with labels (n,) ask for."""

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        values, y = shots(pipeline, support, self.min_shots)
        model = LinearModel.of(pipeline)
        proposal = self.propose(model, values, y)
        edit = proposal.edit
        blend: float = 0.0
        guards: tuple[GuardOutcome, ...] = ()
        if not edit.empty:
            judges = model.guards(edit, proposal.left_out, self.source_tolerance)
            blend, guards = strongest(self.blends, judges)
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=self._reason(edit, blend, guards),
            deltas=_deltas(model.ids, proposal) if blend else {},
            blend=blend,
            guards=guards,
        )

    def held_at(self, model: LinearModel, mask: BoolArray) -> Array:
        """Return where concepts are held or spread from (C,)."""
        return np.where(mask & (self.masked_to == "zero"), 0.0, model.neutral)

    def _reason(self, edit: Edit, blend: float, guards: tuple[GuardOutcome, ...]) -> str:
        if edit.empty:
            return f"No change: {self.quiet}."
        what = _counted(edit)
        if blend:
            return f"{what}, as the support asks and the guards allow."
        failed = "; ".join(guard.sentence.rstrip(".") for guard in guards if not guard.passed)
        return f"No change: {what} would not pass the guards ({failed})."


def _counted(edit: Edit) -> str:
    """Return how many concepts are masked, amplified and shifted."""
    shifted = np.broadcast_to(np.asarray(edit.shift) != 0, edit.mask.shape) & ~edit.mask
    masked = int(edit.mask.sum())
    parts = [f"{masked} concept{'' if masked == 1 else 's'} masked", f"{int((edit.gain > 1).sum())} amplified"]
    parts += [f"{int(shifted.sum())} shifted"] if shifted.any() else []
    return ", ".join(parts[:-1]) + f" and {parts[-1]}"


def _deltas(ids: tuple[str, ...], proposal: Proposal) -> dict[str, ConceptDelta]:
    edit = proposal.edit
    shift = np.broadcast_to(np.asarray(edit.shift, float), edit.mask.shape)
    return {
        ids[c]: ConceptDelta(
            neutral=float(edit.neutral[c]),
            mask=bool(edit.mask[c]),
            gain=float(edit.gain[c]),
            shift=float(shift[c]),
            sentence=sentence,
        )
        for c, sentence in sorted(proposal.sentences.items())
    }
