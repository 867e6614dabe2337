"""What each concept did in one study, with what the bank, the site and the checks of the model say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, ConceptState, Features
from osler.explain.changing import Situation, what_would_change
from osler.explain.context import Context
from osler.explain.explanation import ConceptReading, Likeness, Passage, Searched, SimilarStudy, WhatWouldChange
from osler.explain.similar import similar_studies
from osler.explain.validation import Validation
from osler_knowledge.bank import Citation, Concept

NEGLIGIBLE = 1e-9
CORRECTED, IGNORED = "corrected", "ignored at this site"


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
        weights, at_neutral = pipeline.head_weights(site, beside=True), pipeline.neutral_logits(site)
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


@dataclass(frozen=True, eq=False)
class Read:
    """One study as it was read.

    Attributes:
        pipeline: The model without patches.
        contrast: Finding against runner-up.
        scored: What the scorer found.
        used: What the head received, after patch and correction.
        before: What each concept contributed without the patch (C,).
        patch: The patch that changes something here, or None.
        context: What stands around the study.
    """

    pipeline: Pipeline
    contrast: Contrast
    scored: ConceptState
    used: ConceptState
    before: Array
    patch: SitePatch | None
    context: Context

    def concepts(self) -> list[ConceptReading]:
        """Return a reading of every concept, in the bank's order."""
        values, probabilities = self.used.static[0], None if self.scored.prob is None else self.scored.prob[0, 0]
        contributions, limits = self.contrast.contributions(values), self.pipeline.correction_range
        validation = self.context.validation or Validation(self.pipeline.digest, "")
        readings = []
        for c, concept in enumerate(self.pipeline.bank.concepts):
            state, check = self._state(c, concept.id), validation.of(concept.id)
            probability = None if probabilities is None else float(probabilities[c])
            seen = _seen(state, float(values[c]), limits[c], check.called(probability))
            readings.append(
                ConceptReading(
                    **_knowledge(concept, self.contrast, float(self.contrast.weights[c])),
                    probability=probability,
                    value=float(values[c]),
                    contribution=float(contributions[c]),
                    direction=_direction(float(contributions[c])),
                    state=state,
                    contribution_unpatched=None if self.patch is None else float(self.before[c]),
                    location="validated"
                    if seen == "present" and self.scored.maps is not None and check.map_shown
                    else "unavailable",
                    seen=seen,
                    corrected_to=(float(limits[c, 0]), float(limits[c, 1])),
                    localisation=check.localisation,
                    grounding_here=self.context.grounding.get(concept.id),
                    grounding_source=check.auroc,
                )
            )
        return readings

    def _state(self, c: int, concept: str) -> str:
        return _state(bool(self.used.clamped[0, 0, c]), None if self.patch is None else self.patch.deltas.get(concept))

    @property
    def _ignored(self) -> list[bool]:
        return [self._state(c, one) == IGNORED for c, one in enumerate(self.pipeline.bank.ids)]

    def likeness(self, features: Features) -> tuple[Likeness, ...]:
        """Return how unlike the source the study is, by its concepts as scored and by its features."""
        found = []
        if self.context.concepts is not None:
            found.append(self.context.concepts.judge(self.scored.static[0]))
        if self.context.features is not None:
            found.append(self.context.features.judge(features.pooled[0]))
        return tuple(one for one in found if one is not None)

    def would_change(self, logits: Array, patched: Pipeline, site: str | None) -> WhatWouldChange:
        """Return what would change the model's mind, for the head as it is at the site."""
        source = self.pipeline.source.aligned(self.pipeline.bank.ids)
        situation = Situation(
            bank=self.pipeline.bank,
            classes=self.pipeline.classes,
            values=self.used.static[0],
            logits=logits,
            weights=patched.head_weights(site, beside=True),
            range=self.pipeline.correction_range,
            free=~(self.used.clamped[0, 0] | np.array(self._ignored)),
            source=source.values,
            typical=self.context.concepts,
        )
        return what_would_change(situation)

    def similar(self) -> tuple[SimilarStudy, ...]:
        """Return archived studies of other patients with a like profile; what the site ignores does not count."""
        source = self.pipeline.source.aligned(self.pipeline.bank.ids)
        if not len(source.values) or self.context.patient is None:
            return ()
        return similar_studies(
            self.scored.static[0],
            self.context.patient,
            self.context.archived,
            source.values.std(axis=0),
            used=~np.array(self._ignored),
            classes=self.pipeline.classes,
            reviews=self.context.reviews,
        )

    def similar_among(self) -> Searched | None:
        """Return among which studies `similar` looked; None where it could not."""
        patient = self.context.patient
        if not len(self.pipeline.source.values) or patient is None:
            return None
        read = sum(len(held.patients) - held.patients.count(patient) for held in self.context.archived)
        return Searched.among(read, self.context.others)


def _seen(state: str, value: float, limits: Array, called: str) -> str:
    if state == IGNORED:
        return "ignored"
    if state != CORRECTED:
        return called
    # A reader who says how sure is between the two ends; the nearer one counts.
    low, high = limits
    place = (value - low) / (high - low) if high > low else 0.5
    return "present" if place > 0.5 else "absent" if place < 0.5 else "uncertain"


def _direction(contribution: float) -> str:
    return "neither" if abs(contribution) < NEGLIGIBLE else "for" if contribution > 0 else "against"


def _state(clamped: bool, delta: ConceptDelta | None) -> str:
    if clamped:
        return CORRECTED
    if delta is None:
        return "as scored"
    if delta.mask:
        return IGNORED
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
        "conflict_runner_up": other is not None and other.value * weight > 0 and expected != 0,
        "conflict": expected * weight < 0 and abs(weight) >= NEGLIGIBLE,
        "citation": _passage(concept.citation),
        "prior_citation": _passage(own.citation) if own and own.citation else None,
    }


def _passage(citation: Citation) -> Passage:
    return Passage(citation.passage, citation.title, citation.entry, citation.references)
