"""Comparing the concepts of a stream with a reference: alarms by martingales, figures by the drift library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from osler.bottleneck.records import Array
from osler.monitor.effect import glass_delta
from osler.monitor.report import ConceptMove
from osler.monitor.wealth import EVERY, STRENGTHS, conformal_ranks, holm, running_p
from osler_contracts.drift.compare import MATTERS, measure_field, onset_of
from osler_contracts.drift.fields import Field
from osler_contracts.drift.observations import Observations
from osler_contracts.drift.reference import profile_field
from osler_contracts.drift.report import FieldResult, Verdict

LEVEL = 0.05
# The start is looked for of so many concepts, the clearest: at a new site all may have moved from the first arrival on.
ONSETS = 20
# Shifts of a mean, in standard deviations, from which a move matters and is large: PSI of 0.1 and 0.25 between normals.
EFFECT_MATTERS, EFFECT_LARGE = 0.32, 0.5
MixShift = Callable[[int], Array]
_ORDER = {verdict: number for number, verdict in enumerate(Verdict)}


@dataclass(frozen=True, eq=False)
class Concepts:
    """Concept values, a row a patient.

    Attributes:
        ids: Identifiers of the concepts.
        names: Their names.
        values: Values (n, C), all finite; a stream's in the order of arrival.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: Array


def compare_concepts(
    reference: Concepts, stream: Concepts, *, level: float = LEVEL, mix_shift: MixShift | None = None
) -> tuple[ConceptMove, ...]:
    """Compare every concept of a stream with a reference.

    Args:
        reference: The reference.
        stream: The stream.
        level: Chance of any false alarm over all concepts and all time.
        mix_shift: Given the first arrival that counts, the shift of each mean (C,) that the mix of classes from there on would
            bring.

    Returns:
        The concepts, the gravest first.
    """
    shift = (lambda _: np.zeros(len(reference.ids))) if mix_shift is None else cache(mix_shift)
    if not len(stream.values):
        return ()
    columns = range(len(reference.ids))
    running = evidence(reference, stream)
    adjusted = holm(running[-1])
    # Concept by concept the level that Holm's method held its p-value to.
    alarms = [_first(running[:, c], level * running[-1, c] / adjusted[c], adjusted[c] <= level) for c in columns]
    least = detectable(len(reference.values), len(stream.values), len(reference.ids), level)
    dated = np.argsort(running[-1], kind="stable")[:ONSETS].tolist()
    moves = [
        _move(reference, stream, c, shift, (running[-1, c], adjusted[c]), alarms[c], least, c in dated) for c in columns
    ]
    return tuple(sorted(moves, key=lambda one: (_ORDER[one.verdict], -abs(one.effect.value), one.id)))


def evidence(reference: Concepts, stream: Concepts) -> Array:
    """Return the p-values (m, C) of each concept after each arrival; they hold at all arrivals at once."""
    columns = range(len(reference.ids))
    before, after = _rounded(reference.values, stream.values)
    ranks = [conformal_ranks(before[:, c], after[:, c], reference.ids[c]) for c in columns]
    p = running_p(np.stack(ranks, axis=1))
    p[:, np.ptp(np.concatenate([before, after]), axis=0) == 0] = 1.0  # what never varied did not move
    return p


def _rounded(reference: Array, stream: Array) -> tuple[Array, Array]:
    """Return values as whole multiples of a millionth of their scale: what differs by rounding alone is equal."""
    scale = 1e-6 * np.maximum(np.maximum(reference.std(axis=0), np.abs(reference.mean(axis=0))), 1e-12)
    return np.round(reference / scale), np.round(stream / scale)


def detectable(n: int, m: int, concepts: int, level: float = LEVEL) -> float:
    """Return about the smallest shift of a mean, in standard deviations, that m arrivals against n would show.

    A bet on the right side of the right strength grows by half the squared shift an arrival; it must outgrow the level, the
    number of concepts and the stakes on other bets. Simulations of normals agree within a fifth (see the tests).
    """
    if m < EVERY:
        return float("inf")
    needed = np.log(concepts / level) + np.log(2 * 2 * len(STRENGTHS))
    return float(np.sqrt(2 * needed * (1 / m + 1 / n)))


def _move(
    reference: Concepts,
    stream: Concepts,
    c: int,
    mix_shift: MixShift,
    p: tuple[float, float],
    alarm: int | None,
    least: float,
    dated: bool,
) -> ConceptMove:
    one, values, arrivals = reference.ids[c], reference.values[:, c], stream.values[:, c]
    field = Field(one, stream.names[c], number=True)
    profile, batch = profile_field(field, _observed(one, values)), _observed(one, arrivals)
    figures = measure_field(field, profile, batch, LEVEL)
    since = onset_of(field, profile, batch) if alarm is not None and dated else None
    start = 0 if since is None else since.onset.at
    later = arrivals[start:]
    effect = glass_delta(values, later)
    verdict = Verdict.TOO_FEW if least > EFFECT_LARGE else Verdict.STEADY
    if alarm is not None:
        verdict = Verdict.MOVED if _matters(effect.value, figures) else Verdict.SLIGHT
    scale = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return ConceptMove(
        id=one,
        name=stream.names[c],
        verdict=verdict,
        effect=effect,
        by_mix=float(mix_shift(start)[c]) / scale if scale > 1e-9 else 0.0,
        before=float(values.mean()),
        after=float(later.mean()),
        spread=float(later.std(ddof=1)) / scale if scale > 1e-9 and len(later) > 1 else 1.0,
        psi=figures.psi,
        psi_interval=figures.psi_interval,
        p=float(p[0]),
        p_adjusted=float(p[1]),
        alarm=alarm,
        since=since,
    )


def _matters(effect: float, figures: FieldResult) -> bool:
    """Return whether the mean moved enough, or the whole distribution for certain."""
    return abs(effect) >= EFFECT_MATTERS or figures.psi_interval[0] >= MATTERS


def _first(running: Array, level: float, alarmed: bool) -> int | None:
    return int(np.argmax(running <= level * (1 + 1e-9))) if alarmed else None


def _observed(name: str, values: Array) -> Observations:
    return Observations(np.arange(len(values)), {name: values.tolist()}, "patient")
