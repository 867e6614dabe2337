"""`anchored_committee`: unlabelled studies set the site's scale, a few labelled ones say how far to trust the source's head.

Three steps, each of which may end in "no change":

1. *Scale.* Features are standardised to the source's by the moments of all measured studies, unless the labelled ones speak
   against it by `caution` standard errors of their bounded margins `u = tanh(margin / spread of the logits)`.
2. *Head.* Four members keep all, most, some and nothing of the source's head (`osler.adapt.committee`). Shots left out, one
   of each class at a time, judge them: member m counts `p_m ~ belief_m exp(n mean of u_m)`, n shots of K classes. The head is
   the mean of the members by p.
   Where the source's head is no better than chance on them, only the two members without it are heard.
3. *Guards.* The change is made where the mean of u over shots left out rises by more than `caution` standard errors, or
   rises at all where the source's head is no better than chance. Of the heads that tell the source's studies apart as well as
   before, but for `source_tolerance`, the one that does most nearly the same at the site is taken (`osler.adapt.source_hold`).

Where fewer than two shots of a class are there, nothing can be left out, and the head stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.adapters.concept_lda import source_covariance
from osler.adapt.changes import HeadChange, SiteCorrection
from osler.adapt.committee import MEMBERS, OF_SOURCE, Committee, Shots, added
from osler.adapt.guards import SLACK, WeightEdit, class_balanced_mean
from osler.adapt.linear_model import LinearModel
from osler.adapt.new_head import sentences
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import SourceUnits, in_order
from osler.adapt.source_hold import SourceHold
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CORRECTION = "feature_moments"


@dataclass(frozen=True)
class AnchoredCommittee:
    """The recommended adapter.

    Attributes:
        strength: Penalty of the regression near the source, times the number of concepts for its weights.
        prior_shots: Shots of a class that the source's mean counts as.
        prior_studies: Studies that the source's covariance within classes counts as.
        source_shots: Shots that the source's own head counts as, in the member that stays tied to it.
        belief: What is believed of the members before a shot was seen, in the order of `osler.adapt.committee.MEMBERS`.
        caution: Standard errors by which labelled studies must speak for a new head, or against the site's scale.
        source_tolerance: How much the ungated, class-balanced source accuracy may fall, as a fraction; 1 holds nothing back.
        standardise: Whether features are standardised where the model remembers its source's moments.
        min_shots: Fewest shots a class.
    """

    strength: float = 1.0
    prior_shots: float = 1.5
    prior_studies: float = 16.0
    source_shots: float = 8.0
    belief: tuple[float, float, float, float] = (0.2, 0.5, 0.15, 0.15)
    caution: float = 1.0
    source_tolerance: float = 0.005
    standardise: bool = True
    min_shots: int = 1

    name: ClassVar[str] = "anchored_committee"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive = (self.strength, self.prior_shots, self.prior_studies, self.source_shots, *self.belief)
        if self.min_shots < 1 or self.caution < 0 or not all(0 < number < np.inf for number in positive):
            raise OslerError(
                Code.USAGE,
                f"{self.name} got strength, counts and beliefs {positive}, caution {self.caution:g}, "
                f"{self.min_shots} shots at least.",
                "Give numbers above 0, a caution of 0 or more, and at least 1 shot.",
            )

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; see `Adapter.fit`.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        model = LinearModel.of(pipeline)
        support = in_order(pipeline, support, self.min_shots)
        made, scale = self._scale(pipeline, model, support)
        shots = Shots.of(pipeline, model, support if made is None else _moved(support, made))
        edit, guards = self._head(committee_of(self, pipeline, model, shots))
        head = None
        if not edit.empty:
            bias = np.asarray(edit.bias)
            said = sentences(pipeline, model.weights, model.weights + edit.weights)
            head = HeadChange.of(model.classes, model.ids, edit.weights, bias, said)
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=_reason(made, head, len(shots.y), (*scale, *guards)),
            corrections=() if made is None else (made,),
            head=head,
            guards=(*scale, *guards),
        )

    def _scale(
        self, pipeline: Pipeline, model: LinearModel, support: Support
    ) -> tuple[SiteCorrection | None, tuple[GuardOutcome, ...]]:
        """Return the correction of the site's scale, None where there is none, and what the labelled studies said of it."""
        fitted = next((one for one in pipeline.references if one.name == CORRECTION), None)
        if fitted is None or not self.standardise:
            return None, ()
        measured = support.everything
        made = SiteCorrection.of(fitted, fitted.correction.measure(measured, fitted.reference), len(measured))
        before, after = (Shots.of(pipeline, model, one) for one in (support, _moved(support, made)))
        gain = after.bounded(model.logits(after.values)) - before.bounded(model.logits(before.values))
        mean, error = class_balanced_mean(gain, before.y), _error(gain)
        sentence = (
            f"The right finding's lead in the labelled studies, from -1 to 1, changes by {mean:+.3f} as the site's scale is "
            f"set to the source's, standard error {error:.3f}."
        )
        passed = mean >= -self.caution * error
        return (made if passed else None), (GuardOutcome("site-scale", passed, 0.0, mean, sentence),)

    def _head(self, committee: Committee) -> tuple[WeightEdit, tuple[GuardOutcome, ...]]:
        """Return what is added to the head once every guard was heard, and what they measured."""
        shots, model = committee.shots, committee.model
        nothing = WeightEdit(np.zeros_like(model.weights), np.zeros_like(model.bias))
        if np.bincount(shots.y).min() < 2:
            said = "With one labelled study of a class none can be left out to prove a new head on."
            return nothing, (GuardOutcome("leave-shots-out", False, 0.0, 0.0, said),)
        left_out = committee.left_out()
        chance = _no_better_than_chance(left_out[0], shots)
        weights = self._weights(left_out, shots, chance)
        proof = self._proof(left_out, weights, shots, chance)
        if not proof.passed:
            return nothing, (proof,)
        edit = added(list(zip(weights, committee.edits(shots.values, shots.y), strict=True)))
        held, lost = SourceHold(model, shots.everything, self.source_tolerance, self.caution).held(edit)
        return held, (proof, lost)

    def _weights(self, left_out: Array, shots: Shots, chance: bool) -> Array:
        """Return how much each member counts (members,)."""
        heard = np.array([len(shots.y) * class_balanced_mean(shots.bounded(one), shots.y) for one in left_out])
        belief = np.array(self.belief)
        if chance:
            belief[: len(OF_SOURCE)], heard[: len(OF_SOURCE)] = 0.0, -np.inf
        weights = belief * np.exp(heard - heard.max())
        return np.asarray(weights / weights.sum())

    def _proof(self, left_out: Array, weights: Array, shots: Shots, chance: bool) -> GuardOutcome:
        """Judge the mean of the members on shots left out."""
        were, are = shots.bounded(left_out[0]), shots.bounded(np.tensordot(weights, left_out, axes=1))
        low, high, error = class_balanced_mean(were, shots.y), class_balanced_mean(are, shots.y), _error(are - were)
        counted = ", ".join(f"{share:.0%} {name}" for name, share in zip(MEMBERS, weights, strict=True))
        said = (
            f"The right finding's lead in studies left out, from -1 to 1: {low:+.3f} before, {high:+.3f} after, standard error "
            f"of the difference {error:.3f}. The new head would be {counted}."
        )
        if chance:
            said += " The source's tells them apart no better than chance, so that a rise is enough."
        asked = 0.0 if chance else self.caution * error
        return GuardOutcome("leave-shots-out", bool(high - low > asked + SLACK), low, high, said)


def committee_of(settings: AnchoredCommittee, pipeline: Pipeline, model: LinearModel, shots: Shots) -> Committee:
    """Return the members for a model and the shots of a site."""
    within = SourceUnits.within(pipeline)
    return Committee(
        model,
        within,
        SourceUnits.total(pipeline),
        source_covariance(pipeline, within),
        shots,
        settings.strength,
        settings.prior_shots,
        settings.prior_studies,
        settings.source_shots,
    )


def _no_better_than_chance(logits: Array, shots: Shots) -> bool:
    right = (logits.argmax(axis=1) == shots.y).astype(float)
    return bool(class_balanced_mean(right, shots.y) <= 1 / logits.shape[1] + SLACK)


def _moved(support: Support, made: SiteCorrection) -> Support:
    return replace(support, features=made.match(support.features), unlabelled=made.match(support.everything))


def _error(gain: Array) -> float:
    return float(gain.std() / np.sqrt(len(gain)))


def _reason(made: SiteCorrection | None, head: HeadChange | None, n: int, guards: tuple[GuardOutcome, ...]) -> str:
    done = []
    if made is not None:
        done.append(f"the scale of {made.studies} unlabelled studies set to the source's")
    if head is not None:
        done.append(f"the head moved by what {n} labelled studies ask for")
    if done:
        said = " and ".join(done)
        return f"{said[0].upper()}{said[1:]}."
    failed = "; ".join(guard.sentence.rstrip(".") for guard in guards if not guard.passed)
    return f"No change: {failed or 'the labelled studies ask for none'}."


ADAPTER = AnchoredCommittee
