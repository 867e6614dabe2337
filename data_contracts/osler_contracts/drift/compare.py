"""Comparing what arrived with a reference profile, field by field.

A field has moved where two things hold: chance does not explain the difference, once all fields are tested together
(Benjamini-Hochberg), and it is large enough to matter, so that a huge batch does not shout about nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control

from osler_contracts.drift.bins import Cells, finite_numbers, pool_rare, quantiles, unit_shares, words_of
from osler_contracts.drift.divergence import Counts, jsd, ks_distance, psi
from osler_contracts.drift.fields import FIELDS, INVALID, MISSING, OTHER, Field
from osler_contracts.drift.observations import Observations
from osler_contracts.drift.onset import find_onset
from osler_contracts.drift.reference import LEAST_UNITS, FieldProfile, Profile, weights_in
from osler_contracts.drift.report import Change, DriftReport, FieldResult, Since, Verdict
from osler_contracts.drift.sureness import Null, ks_p, ks_threshold, null_of, psi_interval, unbiased_psi

LEVEL = 0.05
# PSI from which a move matters, and from which it is large: a shift of a normal by 0.32 and by 0.5 standard deviations.
MATTERS, LARGE = 0.1, 0.25
# The Kolmogorov-Smirnov distance of the same shift by 0.32.
KS_MATTERS = 0.125
# A median or an end of the range is told where it moved by this share of the reference's range.
TOLD = 0.1
_ORDER = {verdict: number for number, verdict in enumerate(Verdict)}


def compare(
    profile: Profile, batch: Observations, *, level: float = LEVEL, facts: Mapping[str, Any] | None = None
) -> DriftReport:
    """Compare a batch with a reference profile.

    Args:
        profile: The reference.
        batch: What arrived, in the order of arrival.
        level: Rate of false discoveries to accept over all fields.
        facts: What else to say of the batch in the report; pseudonyms and figures only.
    """
    reference = {"sha256": profile.sha256, "units": profile.units, "images": profile.images} | dict(profile.origin)
    own = {"units": batch.count, "images": batch.images} | dict(facts or {})
    report = DriftReport(profile.site, level, profile.unit, reference, own)
    if not batch.images:
        return report
    names = [name for name in FIELDS if name in profile.fields or name in batch.columns]
    both = [name for name in names if name in profile.fields and name in batch.columns]
    found = [measure_field(FIELDS[name], profile.fields[name], batch, level) for name in both]
    # A lone field that moved has to pass the strictest step of Benjamini-Hochberg, so power is stated for that.
    strictest = level / max(sum(result.null != "constant" for result in found), 1)
    results = [_judge(result, profile, batch, level, strictest) for result in _adjust(found)]
    results += [FieldResult(name, Verdict.NOT_COMPARED) for name in names if name not in both]
    results.sort(key=lambda one: (_ORDER[one.verdict], one.p_adjusted, -one.psi, one.name))
    return replace(report, fields=tuple(results))


def _counts(reference: FieldProfile, field: Field, batch: Observations) -> tuple[Counts, Counts, Counts]:
    """Return the units of reference and batch in each cell that is in use, rare ones pooled, and each arriving unit's."""
    placed = reference.cells.place(batch.columns[field.name])
    shares = unit_shares(batch, placed, len(reference.cells.labels))
    before = np.array(reference.weights)
    groups = pool_rare(before + shares.sum(axis=0), ordered=field.number)
    pool = np.eye(int(groups.max()) + 1)[groups]
    shares, before = shares @ pool, before @ pool
    used = (before > 0) | (shares.sum(axis=0) > 0)
    return before[used], shares.sum(axis=0)[used], shares[:, used]


def measure_field(field: Field, reference: FieldProfile, batch: Observations, level: float) -> FieldResult:
    """Work out the figures of one field, watched at the door or not; its verdict is left open."""
    before, after, _ = _counts(reference, field, batch)
    if len(before) < 2:
        return FieldResult(field.name, Verdict.STEADY)
    null = null_of(before, after, field.name)
    found_psi, found_jsd = float(psi(before, after)), float(jsd(before, after))
    p = null.p_jsd(found_jsd)
    distance, threshold = _kolmogorov(field, reference, batch, level)
    if distance is not None and threshold is not None:
        p = min(1.0, 2 * min(p, ks_p(distance, reference.measured, finite_numbers(field, batch)[2])))
    return FieldResult(
        field.name,
        Verdict.STEADY,
        psi=found_psi,
        psi_interval=psi_interval(found_psi, null),
        psi_threshold=null.psi_threshold(level),
        jsd=found_jsd,
        jsd_threshold=null.jsd_threshold(level),
        ks=distance,
        ks_threshold=threshold,
        p=p,
        null=null.method,
        change=_change(field, reference, batch),
    )


def _kolmogorov(
    field: Field, reference: FieldProfile, batch: Observations, level: float
) -> tuple[float | None, float | None]:
    if not reference.measured:
        return None, None
    numbers, weights, units = finite_numbers(field, batch)
    if not units:
        return None, None
    distance = ks_distance(np.array(reference.sample), numbers, weights)
    return distance, ks_threshold(reference.measured, units, level)


def _adjust(results: Sequence[FieldResult]) -> list[FieldResult]:
    """Adjust for the number of fields; one with a single value cannot err, so it costs the others nothing."""
    varying = [number for number, result in enumerate(results) if result.null != "constant"]
    adjusted = list(results)
    if varying:
        values = false_discovery_control([results[number].p for number in varying])
        for number, value in zip(varying, values, strict=True):
            adjusted[number] = replace(results[number], p_adjusted=float(value))
    return adjusted


def _judge(result: FieldResult, profile: Profile, batch: Observations, level: float, strictest: float) -> FieldResult:
    if result.null == "constant":
        return result
    field, reference = FIELDS[result.name], profile.fields[result.name]
    before, after, shares = _counts(reference, field, batch)
    null = Null(float(before.sum()), float(after.sum()), len(before))
    least = null.detectable(strictest)
    if result.p_adjusted > level:
        return replace(result, detectable=least, verdict=Verdict.TOO_FEW if least > LARGE else Verdict.STEADY)
    if unbiased_psi(result.psi, null) < MATTERS and (result.ks or 0.0) < KS_MATTERS:
        return replace(result, detectable=least, verdict=Verdict.SLIGHT)
    since = _since(shares, before, batch, result.name)
    return replace(result, detectable=least, verdict=Verdict.MOVED, since=since)


def onset_of(field: Field, reference: FieldProfile, batch: Observations) -> Since | None:
    """Return since when a field moved that did, None where the arrivals are too few to say."""
    before, _, shares = _counts(reference, field, batch)
    return _since(shares, before, batch, field.name)


def _since(shares: Counts, before: Counts, batch: Observations, name: str) -> Since | None:
    onset = find_onset(shares, before, name)
    return None if onset is None else Since(onset, batch.count)


def _change(field: Field, reference: FieldProfile, batch: Observations) -> Change:
    """Return what changed most: a share of the units, or the median or range of a measure."""
    before, after = np.array(reference.weights), np.array(weights_in(field, reference.cells, batch))
    p, q = before / before.sum(), after / after.sum()
    labels, apart = reference.cells.labels, np.abs(q - p)
    most = int(np.argmax(apart))
    if not field.number:
        most = int(np.argmax(apart + 0.01 * (q > p)))  # what came says more than what went
        return _named(field, reference, batch, _share(labels[most], p[most], q[most]))
    numbers, weights, units = finite_numbers(field, batch)
    if labels[most] in (MISSING, INVALID) or not units or not reference.measured:
        return _share(labels[most], p[most], q[most])
    sample, levels = np.array(reference.sample), np.array([0.05, 0.5, 0.95])
    old, new = quantiles(sample, np.ones(len(sample)), levels), quantiles(numbers, weights, levels)
    moves, extent = np.abs(new - old), max(old[2] - old[0], 1e-9 * np.abs(old).max())
    if moves[1] >= max(TOLD * extent, max(moves[0], moves[2]) / 2):
        return Change("median", "", (float(old[1]),), (float(new[1]),))
    if max(moves[0], moves[2]) >= TOLD * extent:
        return Change("range", "", (float(old[0]), float(old[2])), (float(new[0]), float(new[2])))
    return _share(labels[most], p[most], q[most])


def _share(label: str, before: float, after: float) -> Change:
    return Change("share", label, (float(before),), (float(after),))


def _named(field: Field, reference: FieldProfile, batch: Observations, change: Change) -> Change:
    """Name the word whose share changed most; a new one is named where enough units share it to be about none of them."""
    if change.of != OTHER or change.after < change.before:
        return change
    words = [new for new in words_of(field, batch, LEAST_UNITS) if new not in reference.cells.words]
    if not words:
        return change
    weights = weights_in(field, Cells(words=tuple(words)), batch)[: len(words)]
    top = int(np.argmax(weights))
    return Change("new", words[top], (0.0,), (weights[top] / batch.count,))
