"""`anchored_committee`: unlabelled studies set the site's scale, a few labelled ones move a head that stays tied to the source's.

Three steps, each of which may end in "no change":

1. *Scale.* Features are standardised to the source's by the moments of all measured studies, unless the labelled ones speak
   against it by `caution` standard errors of their bounded margins `tanh(margin / spread of the logits)`.
2. *Head.* In units of the source's deviation within classes, two heads are fitted to the n shots of K classes:
   `anchored` logistic regression (see `anchored_head`), its penalty growing with the number of concepts; and the
   discriminant of `m_k = (prior_shots mu_k + n_k mean_k) / (prior_shots + n_k)` and of
   `S = (prior_studies Sigma + sum d d') / (prior_studies + n)`, with mu and Sigma of the source and d the shots' distances from
   their m. Each is scaled to the source head's spread of logits over the site's studies; their mean counts
   `n / (n + source_shots)`, the source's own head the rest. The three err differently, so their mean errs less than each.
3. *Guards.* The change is made where the bounded margin of shots left out, one of each class at a time, rises by more than
   `caution` standard errors; of that change the largest share that costs the source's held-out studies no more than
   `source_tolerance` of their accuracy.

Where fewer than two shots of a class are there, nothing can be left out, and the head stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from osler.adapt.adapter import patch_of
from osler.adapt.adapters.anchored_head import anchored
from osler.adapt.adapters.concept_lda import discriminant, source_covariance
from osler.adapt.changes import HeadChange, SiteCorrection
from osler.adapt.guards import (
    Logits,
    WeightEdit,
    check_support,
    class_balanced_mean,
    margins,
    source_guard,
    strongest,
)
from osler.adapt.linear_model import LinearModel
from osler.adapt.new_head import sentences
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import Labels, SourceUnits, order_of, site_values, unlabelled
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CORRECTION = "feature_moments"
BLENDS = tuple(round(step / 20, 2) for step in range(20, 0, -1))
_TINY = 1e-12

Head = tuple[Array, Array]


@dataclass(frozen=True)
class AnchoredCommittee:
    """The recommended adapter.

    Attributes:
        strength: Penalty of the anchored regression, times the number of concepts for its weights.
        prior_shots: Shots of a class that the source's mean counts as.
        prior_studies: Studies that the source's covariance within classes counts as.
        source_shots: Shots that the source's own head counts as.
        caution: Standard errors by which labelled studies must speak for a new head, or against the site's scale.
        source_tolerance: How much the ungated source accuracy may fall, as a fraction.
        standardise: Whether features are standardised where the model remembers its source's moments.
        min_shots: Fewest shots a class.
    """

    strength: float = 1.0
    prior_shots: float = 1.5
    prior_studies: float = 16.0
    source_shots: float = 8.0
    caution: float = 1.0
    source_tolerance: float = 0.005
    standardise: bool = True
    min_shots: int = 1

    name: ClassVar[str] = "anchored_committee"
    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive = (self.strength, self.prior_shots, self.prior_studies, self.source_shots)
        if self.min_shots < 1 or self.caution < 0 or not all(0 < number < np.inf for number in positive):
            raise OslerError(
                Code.USAGE,
                f"{self.name} got strength and counts {positive}, caution {self.caution:g}, {self.min_shots} shots at least.",
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
        here = support if made is None else _moved(support, made)
        fit = _Fit(self, model, SourceUnits.within(pipeline), Shots.of(pipeline, model, here))
        edit, blend, guards = fit.guarded(source_covariance(pipeline, fit.units))
        head = None
        if blend:
            weights, bias = blend * edit.weights, blend * np.asarray(edit.bias)
            said = sentences(pipeline, model.weights, model.weights + weights)
            head = HeadChange.of(model.classes, model.ids, weights, bias, said)
        return patch_of(
            self,
            pipeline,
            support,
            created=created,
            reason=_reason(made, blend, len(fit.shots.y), (*scale, *guards)),
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
        gain = after.bounded(model.logits) - before.bounded(model.logits)
        mean, error = class_balanced_mean(gain, support_labels(support)), _error(gain)
        sentence = (
            f"Bounded margin of the labelled studies as the site's scale is set to the source's: {mean:+.3f}, "
            f"standard error {error:.3f}."
        )
        passed = mean >= -self.caution * error
        return (made if passed else None), (GuardOutcome("site-scale", passed, 0.0, mean, sentence),)


@dataclass(frozen=True, eq=False)
class Shots:
    """Concept values of the labelled studies (n, C), their labels (n,), and the spread of the source head's logits at the site."""

    values: Array
    y: Labels
    everything: Array
    spread: float

    @classmethod
    def of(cls, pipeline: Pipeline, model: LinearModel, support: Support) -> Shots:
        """Score a support whose studies are in order."""
        everything = site_values(pipeline, support)
        values = replace(pipeline, patches={}).state(support.features).static
        return cls(values, support_labels(support), everything, spread_of(model.logits(everything)))

    def bounded(self, logits: Logits) -> Array:
        """Return the bounded margin (n,) of each labelled study."""
        return np.asarray(np.tanh(margins(logits(self.values), self.y) / self.spread))

    def folds(self) -> Iterator[tuple[Labels, Labels]]:
        """Yield the places that are kept and left out: of each class one, the first, the second and so on."""
        turn = np.zeros(len(self.y), np.intp)
        for k in np.unique(self.y):
            turn[self.y == k] = np.arange((self.y == k).sum())
        for j in range(int(turn.max()) + 1):
            yield np.flatnonzero(turn != j), np.flatnonzero(turn == j)


@dataclass(frozen=True, eq=False)
class _Fit:
    settings: AnchoredCommittee
    model: LinearModel
    units: SourceUnits
    shots: Shots

    def guarded(self, covariance: Array) -> tuple[WeightEdit, float, tuple[GuardOutcome, ...]]:
        """Return what is added to the head, the share of it that passes every guard, and what they measured."""
        shots, model = self.shots, self.model
        nothing = WeightEdit(np.zeros_like(model.weights), np.zeros_like(model.bias))
        if np.bincount(shots.y).min() < 2:
            said = "With one labelled study of a class none can be left out to prove a new head on."
            return nothing, 0.0, (GuardOutcome("leave-shots-out", False, 0.0, 0.0, said),)
        before, after = model.logits(shots.values), np.empty((len(shots.y), len(model.classes)))
        for kept, left in shots.folds():
            edit = self.edit(shots.values[kept], shots.y[kept], covariance)
            after[left] = edit.logits(model.logits, shots.values[left])
        were, are = (np.tanh(margins(logits, shots.y) / shots.spread) for logits in (before, after))
        gain = are - were
        passed = class_balanced_mean(gain, shots.y) > self.settings.caution * _error(gain) + _TINY
        low, high = class_balanced_mean(were, shots.y), class_balanced_mean(are, shots.y)
        said = (
            f"Bounded margin of shots left out: {low:+.3f} before, {high:+.3f} after, "
            f"standard error of the difference {_error(gain):.3f}."
        )
        outcome = GuardOutcome("leave-shots-out", bool(passed), low, high, said)
        if not passed:
            return nothing, 0.0, (outcome,)
        edit = self.edit(shots.values, shots.y, covariance)
        held = model.source
        blend, guards = strongest(
            BLENDS, [source_guard(model.logits, held.values, held.y, edit, self.settings.source_tolerance)]
        )
        return edit, blend, (outcome, *guards)

    def edit(self, values: Array, y: Labels, covariance: Array) -> WeightEdit:
        """Return what the committee adds to the head."""
        model, n = self.model, len(y)
        own = (model.weights, model.bias)
        share = n / (n + self.settings.source_shots)
        weights, bias = np.zeros_like(own[0]), np.zeros_like(own[1])
        for head in (self._anchored(values, y), self._discriminant(values, y, covariance)):
            scale = self.shots.spread / spread_of(self.shots.everything @ head[0].T + head[1])
            weights += 0.5 * share * (scale * head[0] - own[0])
            bias += 0.5 * share * (scale * head[1] - own[1])
        return WeightEdit(weights, bias)

    def _anchored(self, values: Array, y: Labels) -> Head:
        temperature, strength = self.model.temperature, self.settings.strength
        anchor = self.units.folded(self.model.weights / temperature, self.model.bias / temperature)
        moved = anchored(self.units(values), y, *anchor, strength * values.shape[1], strength)
        return self.units.unfolded(*moved)

    def _discriminant(self, values: Array, y: Labels, covariance: Array) -> Head:
        x, source = self.units(values), self.units(self.model.source.mean)
        prior, studies = self.settings.prior_shots, self.settings.prior_studies
        counts = np.bincount(y, minlength=len(source))[:, None]
        sums = np.zeros_like(source)
        np.add.at(sums, y, x)
        means = (prior * source + sums) / (prior + counts)
        off = x - means[y]
        return self.units.unfolded(*discriminant(means, (studies * covariance + off.T @ off) / (studies + len(y))))


def in_order(pipeline: Pipeline, support: Support, min_shots: int) -> Support:
    """Return the support with its studies class by class in an order of their own.

    Raises:
        OslerError: `support-insufficient`.
    """
    y = check_support(support, pipeline.classes, min_shots)
    values = replace(pipeline, patches={}).state(support.features).static
    order = order_of(values)
    order = order[np.argsort(y[order], kind="stable")]
    measured = unlabelled(support)  # before the order of the support itself is lost
    return replace(support, features=support.features.rows(order), y=y[order], unlabelled=measured)


def support_labels(support: Support) -> Labels:
    """Return the labels of a support that was checked."""
    assert support.y is not None
    return support.y


def spread_of(logits: Array) -> float:
    """Return the mean distance of logits (n, K) from their mean over classes."""
    return float(np.abs(logits - logits.mean(axis=1, keepdims=True)).mean()) + _TINY


def _moved(support: Support, made: SiteCorrection) -> Support:
    return replace(support, features=made.match(support.features), unlabelled=made.match(support.everything))


def _error(gain: Array) -> float:
    return float(gain.std() / np.sqrt(len(gain)))


def _reason(made: SiteCorrection | None, blend: float, n: int, guards: tuple[GuardOutcome, ...]) -> str:
    done = []
    if made is not None:
        done.append(f"the scale of {made.studies} unlabelled studies set to the source's")
    if blend:
        done.append(f"the head moved by what {n} labelled studies ask for, {blend:.0%} of it")
    if done:
        said = " and ".join(done)
        return f"{said[0].upper()}{said[1:]}."
    failed = "; ".join(guard.sentence.rstrip(".") for guard in guards if not guard.passed)
    return f"No change: {failed or 'the labelled studies ask for none'}."


ADAPTER = AnchoredCommittee
