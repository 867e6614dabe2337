"""Measured and learned concepts in one bottleneck: each concept is read by the part of a joined encoder that reads it best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.encoders.joined import JoinedEncoder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoders.morphometry import MorphometryEncoder
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.protocols import Encoder, Scorer
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.joined import JoinedScorer, Part
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.bottleneck import BottleneckClassifier, assemble, grounded
from osler_training.fit.grounding import Grounding, GroundingRule
from osler_training.fit.measured import MeasuredGrounding, MeasuredRule, calibrated
from osler_training.fit.prior_head import HeadRule, fit_head
from osler_training.fit.problem import Problem, Reference


@dataclass(frozen=True)
class JoinedRule:
    """How a bottleneck on a joined encoder is fitted.

    Attributes:
        learned: How concepts are grounded on the features of networks.
        measured: How they are calibrated on measurements.
        limit: Standardised measurements end at plus and minus this many units.
        margin: A concept is read by a network only where its held-out AUROC is better by more than this than that of
            measurements, which can be checked by eye.
        head: How the head is fitted.
    """

    learned: GroundingRule = field(default_factory=GroundingRule)
    measured: MeasuredGrounding = field(default_factory=MeasuredGrounding)
    limit: float = 3.0
    margin: float = 0.0
    head: HeadRule = field(default_factory=HeadRule)


@dataclass(frozen=True)
class _Read:
    """What one part of the encoder makes of the concepts."""

    encoder: Encoder
    start: int
    stop: int
    grounding: Grounding
    standard: Standard | None

    @property
    def name(self) -> str:
        return str(getattr(self.encoder, "name", self.encoder.digest[:12]))

    def scorer(self, ids: tuple[str, ...]) -> Scorer:
        rows = np.array([self.grounding.ids.index(one) for one in ids])
        vectors, intercepts = self.grounding.vectors[rows], self.grounding.intercepts[rows]
        if self.standard is None:
            return LogisticScorer(ids, vectors, intercepts)
        return MeasuredScorer(ids, vectors, intercepts, self.standard)


def fit_joined(problem: Problem, rule: JoinedRule, *, seed: int, site: str = "source") -> BottleneckClassifier:
    """Fit a bottleneck whose concepts are read each by one part of the encoder.

    Parts are compared by AUROC on what the grounding holds out of the reference: the same studies for every part, and none
    of a split that is reported.

    Raises:
        OslerError: `usage` where the encoder is not a joined one; `nothing-eligible` where no concept can be grounded.
    """
    encoder = problem.encoder.loaded if isinstance(problem.encoder, LazyEncoder) else problem.encoder
    if not isinstance(encoder, JoinedEncoder):
        raise OslerError(
            Code.USAGE,
            "This method reads concepts from several encoders, the problem has one.",
            "Name encoders joined by +, such as `imagenet_lite0+lesion_morphometry`.",
        )
    reads = [_read(problem, part, number, rule, seed) for number, part in enumerate(_references(problem, encoder))]
    chosen = choose(problem.bank.ids, [one.grounding for one in reads], [_handicap(one, rule) for one in reads])
    if not chosen:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"None of {len(problem.bank.ids)} concepts could be grounded on {len(problem.reference.patients)} studies.",
            "Give more annotated studies, or lower `held_out_least`.",
        )
    bank = problem.bank.subset([one for one in problem.bank.ids if one in chosen])
    parts = []
    for number, one in enumerate(reads):
        ids = tuple(concept for concept in bank.ids if chosen[concept] == number)
        if ids:
            parts.append(Part(_with_percentiles(one, ids, problem), one.start, one.stop))
    scorer = JoinedScorer(tuple(parts))
    train = scorer.score(problem.train.features, bank)
    head = fit_head(train.static, problem.train.y, bank.prior_matrix(problem.classes), rule.head)
    pipeline = assemble(problem, bank, scorer, LinearHead(bank.ids, head.W, head.b), seed=seed, site=site)
    read_by: dict[str, Any] = {concept: reads[chosen[concept]].name for concept in bank.ids}
    return BottleneckClassifier(pipeline, _merged(reads, chosen, problem.bank.ids), {"read_by": read_by})


def choose(ids: tuple[str, ...], groundings: list[Grounding], handicaps: list[float]) -> dict[str, int]:
    """Return which grounding reads each concept: the one of the best held-out AUROC less its handicap, the first of equals."""
    chosen: dict[str, int] = {}
    for concept in ids:
        scores = {}
        for number, one in enumerate(groundings):
            fit = next((fit for fit in one.fits if fit.concept == concept), None)
            if fit is not None and concept in one.ids and np.isfinite(fit.auroc):
                scores[number] = fit.auroc - handicaps[number]
        if scores:
            chosen[concept] = max(scores, key=lambda number: (scores[number], -number))
    return chosen


def _handicap(one: _Read, rule: JoinedRule) -> float:
    return rule.margin if one.standard is None else 0.0


def _read(problem: Problem, reference: Reference, number: int, rule: JoinedRule, seed: int) -> _Read:
    encoder = problem.encoder.loaded if isinstance(problem.encoder, LazyEncoder) else problem.encoder
    assert isinstance(encoder, JoinedEncoder)
    part, (start, stop) = encoder.parts[number], encoder.columns[number]
    ids = problem.bank.ids
    if isinstance(part, MorphometryEncoder):
        measured = MeasuredRule(grounding=rule.measured, limit=rule.limit)
        standard, grounding = calibrated(reference, ids, measured, seed=seed)
        return _Read(part, start, stop, grounding, standard)
    return _Read(part, start, stop, grounded(reference, ids, rule.learned, seed=seed), None)


def _references(problem: Problem, encoder: JoinedEncoder) -> tuple[Reference, ...]:
    """Return the reference as each part sees it; kept, so that what is fitted on it is fitted once."""
    known = _REFERENCES.setdefault(problem.reference, {})
    if encoder.digest not in known:
        pooled = problem.reference.features.pooled
        known[encoder.digest] = tuple(
            replace(problem.reference, features=Features(pooled[:, start:stop])) for start, stop in encoder.columns
        )
    return known[encoder.digest]


_REFERENCES: WeakKeyDictionary[Reference, dict[str, tuple[Reference, ...]]] = WeakKeyDictionary()


def _with_percentiles(one: _Read, ids: tuple[str, ...], problem: Problem) -> Scorer:
    scorer = one.scorer(ids)
    own = Features(problem.train.features.pooled[:, one.start : one.stop])
    logits = scorer.score(own, problem.bank.subset(ids)).logit
    assert logits is not None  # Both kinds give them.
    assert isinstance(scorer, LogisticScorer | MeasuredScorer)
    return replace(scorer, percentiles=source_percentiles(logits[:, 0]))


def _merged(reads: list[_Read], chosen: dict[str, int], ids: tuple[str, ...]) -> Grounding:
    """Return the chosen groundings as one record; vectors are as wide as all parts, zero outside the part that reads."""
    kept = tuple(one for one in ids if one in chosen)
    width = max(one.stop for one in reads)
    vectors, intercepts, fits = np.zeros((len(kept), width)), np.zeros(len(kept)), []
    for concept in ids:
        one = reads[chosen.get(concept, 0)]
        fits += [fit for fit in one.grounding.fits if fit.concept == concept]
        if concept in chosen:
            row, place = kept.index(concept), one.grounding.ids.index(concept)
            vectors[row, one.start : one.stop] = one.grounding.vectors[place]
            intercepts[row] = one.grounding.intercepts[place]
    fits.sort(key=lambda fit: (bool(fit.skipped), -fit.accuracy if not fit.skipped else 0.0, fit.concept))
    return Grounding(kept, vectors, intercepts, tuple(fits))
