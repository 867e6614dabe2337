"""Explaining a finding by contrast with the class that came next; exact for heads that are linear in concepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features, columns
from osler.calibrate.record import SiteCalibration
from osler.calibrate.words import abstention, coverage_sentence
from osler.explain.explanation import ConceptReading, Explanation, Finding, Passage, PatchEffect, PredictionSet
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept

_NEGLIGIBLE = 1e-9


def explain(
    pipeline: Pipeline,
    features: Features,
    *,
    study: str,
    site: str | None,
    patch: SitePatch | None = None,
    corrections: Mapping[str, float] | None = None,
    calibration: SiteCalibration | None = None,
    warnings: tuple[str, ...] = (),
) -> Explanation:
    """Explain one study.

    Args:
        pipeline: A pipeline with a head that is linear in concepts; its own patches are left aside.
        features: Features of the one study (1, D).
        study: Its pseudonymous UID.
        site: Its site; a patch of another site changes nothing.
        patch: The patch in force.
        corrections: Concepts that a reader sets, to a value in [0, 1].
        calibration: The calibration in force at the site, made under this very patch; else the model's own is used.
        warnings: What else the explanation is to say.

    Raises:
        OslerError: `patch-invalid` for a patch of another model, `unknown-concept`, `usage` for a value out of range,
            `calibration-invalid` for a calibration of another site, model or patch, or one that has expired.
    """
    pipeline = replace(pipeline, patches={})
    patched = pipeline if patch is None else patch.apply(pipeline)
    here = patch if patch is not None and patch.site == site and not patch.changes_nothing else None
    clamp = _clamp(pipeline, corrections or {})
    output = patched.predict_features(features, site=site, clamp=clamp)
    plain = pipeline.predict_features(features, site=site, clamp=clamp)
    if calibration is not None:
        calibration.require_for(site=site, model=pipeline.digest, patch=None if here is None else here.id)
    held = pipeline.calibration if calibration is None else calibration.calibration
    findings = rank_findings(output.logits[0], pipeline.classes, held)
    pair = (pipeline.classes.index(findings[0].id), pipeline.classes.index(findings[1].id))
    contrast, before = Contrast.of(patched, pair, site), Contrast.of(pipeline, pair)
    scored = pipeline.scorer.score(features, pipeline.bank)
    readings = _readings(pipeline, contrast, scored, output.state, before.contributions(plain.state.static[0]), here)
    measured_here = calibration is not None or (held.studies > 0 and held.site == site and not here)
    prediction_set, reason = _set(output.logits[0], pipeline.classes, calibration, bool(corrections))
    return Explanation(
        study=study,
        site=site,
        model=pipeline.digest,
        bank=pipeline.bank.digest,
        encoder=pipeline.encoder_digest,
        finding=findings[0],
        runner_up=findings[1],
        findings=findings,
        margin=findings[0].logit - findings[1].logit,
        baseline=contrast.baseline,
        concepts=tuple(sorted(readings, key=lambda one: (-abs(one.contribution), one.id))),
        calibration=_said(held, calibration),
        calibrated_here=measured_here and not corrections,
        patch=None if here is None else _effect(here, _finding_of(plain.logits[0], pipeline, pipeline.calibration)),
        corrections=dict(corrections or {}),
        finding_uncorrected=_uncorrected(patched, features, site, held) if corrections else None,
        prediction_set=prediction_set,
        abstains=None if prediction_set is None else len(prediction_set.classes) != 1,
        abstains_because=reason,
        warnings=warnings,
    )


def rank_findings(logits: Array, classes: tuple[str, ...], calibration: Calibration) -> tuple[Finding, ...]:
    """Return what logits (K,) make of each class, the likeliest first; ties go by the order of the classes."""
    raw, calibrated = softmax(logits), calibration.probabilities(logits)
    return tuple(
        _finding(classes[k], float(logits[k]), float(raw[k]), float(calibrated[k]), calibration)
        for k in np.argsort(-logits, kind="stable")
    )


def _finding(name: str, logit: float, raw: float, calibrated: float, calibration: Calibration) -> Finding:
    threshold = calibration.operating_points.get(name)
    decision = "no operating point" if threshold is None else "called" if calibrated >= threshold else "not called"
    return Finding(name, logit, raw, calibrated if calibration.studies else None, threshold, decision)


@dataclass(frozen=True, eq=False)
class Contrast:
    """One class against another: weights (C,), the neutral values they are measured from, and what remains.

    `sum(weights * (a - neutral)) + baseline` is the margin, for every concept state `a`.
    """

    first: str
    second: str
    weights: Array
    neutral: Array
    baseline: float

    @classmethod
    def of(cls, pipeline: Pipeline, pair: tuple[int, int], site: str | None = None) -> Contrast:
        """Build the contrast of two classes, given by index, by the head as it is at a site."""
        first, second = pair
        weights, at_neutral = pipeline.head_weights(site), pipeline.neutral_logits(site)
        return cls(
            first=pipeline.classes[first],
            second=pipeline.classes[second],
            weights=weights[first] - weights[second],
            neutral=pipeline.neutral,
            baseline=float(at_neutral[first] - at_neutral[second]),
        )

    def contributions(self, values: Array) -> Array:
        """Return what each concept adds to the margin, for values (..., C)."""
        return np.asarray(self.weights * (values - self.neutral))


def _clamp(pipeline: Pipeline, corrections: Mapping[str, float]) -> tuple[BoolArray, Array] | None:
    if not corrections:
        return None
    ids = pipeline.bank.ids
    places = columns(ids, tuple(corrections), "model")
    values = np.array(list(corrections.values()), float)
    if not ((values >= 0) & (values <= 1)).all():
        raise OslerError(
            Code.USAGE, "A concept is corrected to a value out of [0, 1].", "Give 0 for absent, 1 for present."
        )
    mask, truth = np.zeros((1, len(ids)), np.bool_), np.zeros((1, len(ids)))
    mask[0, places], truth[0, places] = True, values
    return mask, truth


def _uncorrected(pipeline: Pipeline, features: Features, site: str | None, calibration: Calibration) -> Finding:
    return _finding_of(pipeline.predict_features(features, site=site).logits[0], pipeline, calibration)


def _finding_of(logits: Array, pipeline: Pipeline, calibration: Calibration) -> Finding:
    return rank_findings(logits, pipeline.classes, calibration)[0]


def _said(held: Calibration, site: SiteCalibration | None) -> dict[str, Any]:
    record = {name: value for name, value in held.to_record().items() if name != "operating_points"}
    return record | {"id": None if site is None else site.id, "expires": None if site is None else site.expires}


def _set(
    logits: Array, classes: tuple[str, ...], calibration: SiteCalibration | None, corrected: bool
) -> tuple[PredictionSet | None, str]:
    """Return the classes that a study may be of, and why these are not exactly one, or why there is no set."""
    if calibration is None:
        return None, "No calibration of this site is in force: `osler calibrate` makes one."
    sets = calibration.sets
    if sets is None:
        return None, calibration.without_sets
    if corrected:
        return None, "A reader corrected concepts; the coverage was measured without corrections."
    p = softmax(logits / sets.temperature)
    held = sets.of({classes[k]: float(p[k]) for k in np.argsort(-logits, kind="stable")})
    sentence = coverage_sentence(sets, calibration.site)
    return PredictionSet(held, sets.coverage, sets.method, sets.reached, sentence), abstention(held)


def _effect(patch: SitePatch, without: Finding) -> PatchEffect:
    return PatchEffect(patch.id, patch.created, patch.reason, patch.masked, patch.amplified, patch.edits, without)


def _readings(
    pipeline: Pipeline,
    contrast: Contrast,
    scored: ConceptState,
    used: ConceptState,
    before: Array,
    patch: SitePatch | None,
) -> list[ConceptReading]:
    """Read every concept of the one study, in the bank's order; `before` (C,) is what each contributed without the patch."""
    values, probabilities = used.static[0], None if scored.prob is None else scored.prob[0, 0]
    contributions = contrast.contributions(values)
    location = "unavailable" if scored.maps is None else "unvalidated"
    readings = []
    for c, concept in enumerate(pipeline.bank.concepts):
        delta = None if patch is None else patch.deltas.get(concept.id)
        readings.append(
            ConceptReading(
                **_knowledge(concept, contrast, float(contrast.weights[c])),
                probability=None if probabilities is None else float(probabilities[c]),
                value=float(values[c]),
                contribution=float(contributions[c]),
                direction=_direction(float(contributions[c])),
                state=_state(bool(used.clamped[0, 0, c]), delta),
                contribution_unpatched=None if patch is None else float(before[c]),
                location=location,
            )
        )
    return readings


def _direction(contribution: float) -> str:
    return "neither" if abs(contribution) < _NEGLIGIBLE else "for" if contribution > 0 else "against"


def _state(clamped: bool, delta: ConceptDelta | None) -> str:
    if clamped:
        return "corrected"
    if delta is None:
        return "as scored"
    if delta.mask:
        return "ignored at this site"
    return "amplified at this site" if delta.gain > 1 and not delta.knots else "shifted at this site"


def _knowledge(concept: Concept, contrast: Contrast, weight: float) -> dict[str, Any]:
    """Return what the bank says of a concept, and whether the model's weight runs against it."""
    own, other = concept.prior.get(contrast.first), concept.prior.get(contrast.second)
    expected = (own.value if own else 0) - (other.value if other else 0)
    return {
        "id": concept.id,
        "name": concept.name,
        "question": concept.question,
        "region": concept.region,
        "prior": own.value if own else None,
        "prior_runner_up": other.value if other else None,
        "conflict": expected * weight < 0 and abs(weight) >= _NEGLIGIBLE,
        "citation": _passage(concept.citation),
        "prior_citation": _passage(own.citation) if own and own.citation else None,
    }


def _passage(citation: Citation) -> Passage:
    return Passage(citation.passage, citation.title, citation.entry, citation.references)
