"""`tti_reading`: our reading of training-free test-time improvement (arXiv 2506.18070), whose formulas are not published.

Concepts that confuse a new site are masked, discriminative ones that it under-activates are amplified; nothing is
trained. It is not the authors' algorithm, and must not be reported as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm

from osler.adapt.guards import Edit, LeaveOneShotOut, check_support, source_outcome
from osler.adapt.patch import ConceptDelta, GuardOutcome, SitePatch, count_shots, support_digest
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Support
from osler.bottleneck.source import SourceReference

Labels = NDArray[np.intp]
_TINY = 1e-9


@dataclass(frozen=True)
class TtiSettings:
    """Settings of the reading, with their defaults.

    Attributes:
        fdr: False-discovery rate over all classes and concepts.
        agreement: Share of one class's shots that must flag a concept before it is masked.
        mask_share: At most this share of concepts is masked.
        amplify_share: Share of concepts that count as discriminative for a class.
        max_gain: Largest gain.
        blends: Strengths that are tried, strongest first.
        source_tolerance: How much the ungated source accuracy may fall, as a fraction.
        min_shots: Fewest shots a class.
        neutral: `mean` of the source, or `zero`.
    """

    fdr: float = 0.1
    agreement: float = 0.5
    mask_share: float = 0.1
    amplify_share: float = 0.2
    max_gain: float = 3.0
    blends: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    source_tolerance: float = 0.005
    min_shots: int = 1
    neutral: str = "mean"


def rivals(logits: Array, y: Labels) -> Labels:
    """Return the strongest wrong class (n,) of each study."""
    rest = logits.copy()
    rest[np.arange(len(y)), y] = -np.inf
    return np.asarray(rest.argmax(axis=1))


def class_means(values: Array, y: Labels, classes: int) -> Array:
    """Return the mean of each concept in each class (K, C); NaN where a class has no study."""
    return np.stack(
        [values[y == k].mean(axis=0) if (y == k).any() else np.full(values.shape[1], np.nan) for k in range(classes)]
    )


def excess(values: Array, y: Labels, source: SourceReference) -> Array:
    """Return how far the site's class means lie above the source's, in standard errors (K, C)."""
    shots = np.bincount(y, minlength=len(source.mean)).astype(float)
    with np.errstate(divide="ignore"):
        error = source.std * np.sqrt(1 / shots + 1 / source.counts)[:, None]
    return (class_means(values, y, len(source.mean)) - source.mean) / error


def significant(z: Array, fdr: float) -> BoolArray:
    """Return which of `z` are above chance, one-sided, by Benjamini and Hochberg over all that were measured."""
    measured = np.isfinite(z)
    found = np.zeros(z.shape, np.bool_)
    if measured.any():
        found[measured] = false_discovery_control(norm.sf(z[measured]), method="bh") <= fdr
    return found


def flags(values: Array, y: Labels, rival: Labels, weights: Array, neutral: Array, fires_more: BoolArray) -> BoolArray:
    """Return which concepts of which studies (n, C) speak for the rival, fire, and fire more than the source explains."""
    return np.asarray((weights[rival] > weights[y]) & (values > neutral) & fires_more[y], np.bool_)


def confusion(values: Array, y: Labels, rival: Labels, weights: Array, neutral: Array, flagged: BoolArray) -> Array:
    """Return Q (C,): the margin lost to flagged concepts, each class counting alike."""
    lost = np.maximum(0.0, -(weights[y] - weights[rival]) * (values - neutral)) * flagged
    return np.asarray(np.mean([lost[y == k].mean(axis=0) for k in np.unique(y)], axis=0))


def agreement(flagged: BoolArray, y: Labels, classes: int) -> Array:
    """Return the share of each class's shots that flag each concept (K, C); 0 where a class has none."""
    return np.nan_to_num(class_means(flagged.astype(float), y, classes))


def choose_masked(lost: Array, agreed: Array, ids: Sequence[str], settings: TtiSettings) -> BoolArray:
    """Return which concepts to mask (C,): the costliest of those that enough shots agree on; ties by identifier."""
    eligible = _places((lost > 0) & (agreed.max(axis=0) >= settings.agreement))
    ranked = sorted(eligible, key=lambda c: (-lost[c], ids[c]))[: ceil(settings.mask_share * len(ids))]
    mask = np.zeros(len(ids), np.bool_)
    mask[ranked] = True
    return mask


def source_evidence(weights: Array, means: Array) -> Array:
    """Return D (K, C): what each concept contributes at the source to telling a class from the others."""
    return (weights - _mean_of_others(weights)) * (means - _mean_of_others(means))


def _mean_of_others(rows: Array) -> Array:
    return np.asarray((rows.sum(axis=0) - rows) / (len(rows) - 1))


def claims(evidence: Array, ids: Sequence[str], share: float) -> BoolArray:
    """Return the concepts that each class rests on (K, C): the top share with positive evidence; ties by identifier."""
    claimed = np.zeros(evidence.shape, np.bool_)
    for row, own in zip(evidence, claimed, strict=True):
        ranked = sorted(_places(row > 0), key=lambda c: (-row[c], ids[c]))
        own[ranked[: ceil(share * len(ids))]] = True
    return claimed


def under_activated(
    values: Array, y: Labels, weights: Array, source: SourceReference, neutral: Array, settings: TtiSettings
) -> BoolArray:
    """Return which concepts (K, C) a class rests on at the source and shows too weakly at the site.

    A class whose evidence is a concept's absence is treated in mirror image: too weakly is then not absent enough.
    """
    side = np.sign(source.mean - neutral)
    weak = significant(-side * excess(values, y, source), settings.fdr) & (side != 0)
    return np.asarray(
        weak & claims(source_evidence(weights, source.mean), source.ids, settings.amplify_share), np.bool_
    )


def choose_gains(means: Array, weak: BoolArray, source: SourceReference, neutral: Array, max_gain: float) -> Array:
    """Return the gain of each concept (C,), 1 where none is due; the median where several classes ask for one.

    Args:
        means: Means of the concepts in each class at the site (K, C).
        weak: Which concepts each class shows too weakly (K, C).
        source: What they are compared with.
        neutral: Value of each concept that says nothing (C,).
        max_gain: Largest gain.
    """
    side = np.sign(source.mean - neutral)
    wanted = side * (source.mean - neutral) / np.maximum(side * (means - neutral), _TINY)
    gains = np.where(weak, np.clip(wanted, 1.0, max_gain), np.nan)
    gain, due = np.ones(len(neutral)), weak.any(axis=0)
    gain[due] = np.nanmedian(gains[:, due], axis=0)
    return gain


@dataclass(frozen=True, eq=False)
class TtiFit:
    """The reading bound to one model: its weights and its source, in the bank's order."""

    pipeline: Pipeline
    settings: TtiSettings
    weights: Array
    source: SourceReference
    neutral: Array

    @classmethod
    def bind(cls, pipeline: Pipeline, settings: TtiSettings) -> TtiFit:
        """Bind the settings to a pipeline with a head that is linear in concepts.

        Raises:
            OslerError: `model-invalid` where it is not.
        """
        source = pipeline.source.aligned(pipeline.bank.ids)
        neutral = source.neutral if settings.neutral == "mean" else np.zeros(len(source.ids))
        return cls(pipeline, settings, pipeline.head_weights()[0], source, neutral)

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
        return under_activated(values, y, self.weights, self.source, self.neutral, self.settings)

    def edit(self, values: Array, y: Labels) -> Edit:
        """Return what the support asks for, before any guard."""
        found, lost = self.flagged(values, y)
        agreed = agreement(found, y, len(self.weights))
        mask = choose_masked(lost, agreed, self.source.ids, self.settings)
        means = class_means(values, y, len(self.weights))
        gain = choose_gains(means, self.weak(values, y), self.source, self.neutral, self.settings.max_gain)
        return Edit(mask, np.where(mask, 1.0, gain), self.neutral, self.pipeline.scorer.value_range)

    def guarded(self, values: Array, y: Labels, edit: Edit) -> tuple[float, tuple[GuardOutcome, ...]]:
        """Return the strongest blend that passes every guard, or 0, with what the guards measured there."""
        folds = LeaveOneShotOut.fit(values, y, self.edit)
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
        agreed = agreement(self.flagged(values, y)[0], y, len(self.weights))
        weak = np.where(self.weak(values, y), np.abs(z), 0)
        masked = {c: self._masked(values, y, z, int(agreed[:, c].argmax()), c) for c in _places(edit.mask)}
        return masked | {c: self._amplified(z, edit, int(weak[:, c].argmax()), c) for c in _places(edit.gain > 1)}

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


def _places(chosen: BoolArray) -> list[int]:
    return [int(place) for place in np.flatnonzero(chosen)]


def _plain(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True)
class TtiReading:
    """The adapter: a few labelled studies of a site to a `SitePatch`, which may well be "no change"."""

    settings: TtiSettings = TtiSettings()
    name: str = "tti_reading"

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch.

        Args:
            pipeline: The frozen source pipeline.
            support: Labelled studies of the site, in any order.
            created: ISO date that the patch will bear.

        Raises:
            OslerError: `support-insufficient`; `model-invalid` where the head is not linear in concepts.
        """
        y = check_support(support, pipeline.classes, self.settings.min_shots)
        values, y = _in_order(pipeline.predict_features(support.features).state.static, y)
        fit = TtiFit.bind(pipeline, self.settings)
        edit = fit.edit(values, y)
        blend, guards = (0.0, ()) if edit.empty else fit.guarded(values, y, edit)
        deltas = {} if blend == 0 else _deltas(fit, values, y, edit)
        return SitePatch(
            site=support.site,
            model=pipeline.digest,
            bank=pipeline.bank.digest,
            adapter=self.name,
            created=created,
            reason=_reason(deltas, edit, guards),
            settings=asdict(self.settings) | {"blends": list(self.settings.blends)},
            deltas=deltas,
            blend=blend,
            value_range=pipeline.scorer.value_range,
            shots=count_shots(list(y), pipeline.classes),
            support=support_digest(support.study_uids),
            guards=guards,
        )


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
