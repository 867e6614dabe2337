"""Explaining a finding by contrast with the class that came next; exact for heads that are linear in concepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.adapt.patch import SitePatch
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Features, Output, columns
from osler.calibrate.record import SiteCalibration
from osler.calibrate.words import abstention, coverage_sentence
from osler.explain.cautions import of_abstention, of_calibration, of_likeness, of_residual
from osler.explain.context import Context
from osler.explain.explanation import SHOWN, Explanation, Finding, PatchEffect, PredictionSet
from osler.explain.reading import NEGLIGIBLE, Contrast, Read
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FEWEST, MOST, MOST_OF = 5, 10, 0.9  # concepts of the first screen, and the share of the margin that ends it


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
    context: Context | None = None,
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
        warnings: Why an active calibration does not hold, as `CalibrationStore.in_force` says it.
        context: What stands around the study; without it nothing is said of sites, places and other studies.

    Raises:
        OslerError: `patch-invalid` for a patch of another model, `unknown-concept`, `usage` for a value out of range,
            `calibration-invalid` for a calibration of another site, model or patch, or one that has expired.
    """
    context = context or Context()
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
    read = Read(pipeline, contrast, scored, output.state, before.contributions(plain.state.static[0]), here, context)
    readings = tuple(sorted(read.concepts(), key=lambda one: (-abs(one.contribution), one.id)))
    measured_here = calibration is not None or (held.studies > 0 and held.site == site and not here)
    prediction_set, reason = _set(output.logits[0], pipeline.classes, calibration, bool(corrections))
    margin = findings[0].logit - findings[1].logit
    contributions = np.array([one.contribution for one in readings])
    residual, share = beside(output, pair, contributions)
    likeness = read.likeness(features)
    noted = (
        *context.warnings,
        *of_calibration(warnings),
        *of_abstention(reason if prediction_set is not None else ""),
        *of_likeness(likeness),
        *of_residual(share),
    )
    return Explanation(
        study=study,
        site=site,
        model=pipeline.digest,
        bank=pipeline.bank.digest,
        encoder=pipeline.encoder_digest,
        finding=findings[0],
        runner_up=findings[1],
        findings=findings,
        margin=margin,
        baseline=contrast.baseline,
        concepts=readings,
        calibration=_said(held, calibration),
        calibrated_here=measured_here and not corrections,
        patch=None if here is None else _effect(here, plain.logits[0], pipeline, pair, margin),
        corrections=dict(corrections or {}),
        finding_uncorrected=_uncorrected(patched, features, site, held) if corrections else None,
        prediction_set=prediction_set,
        abstains=None if prediction_set is None else len(prediction_set.classes) != 1,
        abstains_because=reason,
        warnings=noted,
        residual=residual,
        residual_share=share,
        first=tuple(one.id for one in readings[: first_screen(contributions)]),
        shown=tuple(one.id for one in readings[:SHOWN]),
        would_change=read.would_change(output.logits[0], patched, site) if context.searching else None,
        similar=read.similar() if context.searching else (),
        similar_among=read.similar_among() if context.searching else None,
        likeness=likeness,
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


def _effect(patch: SitePatch, plain: Array, pipeline: Pipeline, pair: tuple[int, int], margin: float) -> PatchEffect:
    first, second = pair
    return PatchEffect(
        patch.id,
        patch.created,
        patch.reason,
        patch.masked,
        patch.amplified,
        patch.edits,
        _finding_of(plain, pipeline, pipeline.calibration),
        margin_with=margin,
        margin_without=float(plain[first] - plain[second]),
        expires=patch.expires,
    )


def beside(output: Output, pair: tuple[int, int], contributions: Array) -> tuple[float, float]:
    """Return what of the margin went past the concepts, and its share of everything that moved the margin."""
    if output.residual_logits is None:
        return 0.0, 0.0
    residual = float(output.residual_logits[0, pair[0]] - output.residual_logits[0, pair[1]])
    whole = abs(residual) + float(np.abs(contributions).sum())
    return residual, abs(residual) / whole if whole > NEGLIGIBLE else 0.0


def first_screen(contributions: Array) -> int:
    """Return how many concepts the first screen shows: 5 to 10, until they hold most of what moved the margin (M20.1).

    Args:
        contributions: Of every concept (C,), in any order.
    """
    sizes = np.sort(np.abs(contributions))[::-1]
    total = sizes.sum()
    enough = int(np.searchsorted(np.cumsum(sizes), MOST_OF * total) + 1) if total > NEGLIGIBLE else FEWEST
    return min(max(enough, FEWEST), MOST, len(sizes))
