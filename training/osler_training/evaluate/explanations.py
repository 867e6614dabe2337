"""Is what an explanation shows true? Which signs may be called present, whose maps may be shown, and how that holds (M18).

What is allowed is decided on one part of the held-out studies, and reported on another of other patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features
from osler.explain.context import Context
from osler.explain.contrast import explain
from osler.explain.typicality import Typical
from osler.explain.validation import Validation, check_concept, check_map
from osler_training.evaluate.bootstrap import Estimate, patient_weights
from osler_training.evaluate.localisation import pointing_hit, upsampled

TOP = 5
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Seen:
    """Held-out studies whose concepts are known.

    Attributes:
        features: What the encoder made of the images (n rows).
        truth: What is known of each concept of the bank (n, C) in {0, 1, NaN}.
        patients: Pseudonyms (n,).
        masks: Of each study, the mask (H, W) of each concept that it shows and that has one; empty where nobody drew any.
    """

    features: Features
    truth: Array
    patients: tuple[str, ...]
    masks: tuple[Masks, ...] = ()

    def __len__(self) -> int:
        return len(self.patients)


def validate(pipeline: Pipeline, held: Seen, where: str, located: Seen | None = None) -> Validation:
    """Check every concept of a model on held-out studies: the record that goes into the model's folder.

    Args:
        pipeline: The model.
        held: Studies that nothing was fitted on.
        where: Of what studies, in words.
        located: Studies with masks, where those of `held` have none.
    """
    seen = _scored(pipeline, held)
    placed, source = (seen, held) if located is None else (_scored(pipeline, located), located)
    checks = {}
    for c, concept in enumerate(pipeline.bank.ids):
        check = check_concept(seen.prob[:, c], seen.values[:, c], held.truth[:, c], held.patients, where)
        hits = None if placed.maps is None else map_hits(placed.maps[:, c], concept, source.masks)
        if hits is not None:
            check = replace(check, localisation=check_map(check, placed.prob[:, c], source.truth[:, c], hits, where))
        checks[concept] = check
    typical = Typical.fit("image features", held.features.pooled, groups=held.patients)
    return Validation(pipeline.digest, where, checks, typical)


@dataclass(frozen=True, eq=False)
class _Scored:
    """Concept probabilities (n, C), NaN where there are none, values (n, C), and maps (n, C, h, w) or None."""

    prob: Array
    values: Array
    maps: Array | None


def _scored(pipeline: Pipeline, held: Seen) -> _Scored:
    state = pipeline.scorer.score(held.features, pipeline.bank)
    prob = np.full(state.static.shape, np.nan) if state.prob is None else state.prob[:, 0]
    return _Scored(prob, state.static, None if state.maps is None else state.maps[:, 0])


def map_hits(maps: Array, concept: str, masks: Sequence[Masks]) -> Array | None:
    """Return whether the highest point of maps (n, h, w) lies in the concept's mask (n,), NaN for a study that has none.

    None where no study has one. Of a map whose highest points are several, the share of them that do.
    """
    rows = [row for row, one in enumerate(masks) if concept in one]
    if not rows:
        return None
    fine = upsampled(maps[rows], masks[rows[0]][concept].shape)
    hits = np.full(len(maps), np.nan)
    hits[rows] = [pointing_hit(one, masks[row][concept]) for one, row in zip(fine, rows, strict=True)]
    return hits


@dataclass(frozen=True, eq=False)
class Shown:
    """What the top of each study's explanation claims, and what of it is true.

    Attributes:
        called: Concepts that are called present, by study (n,).
        right: Those of them that are; concepts of which the truth is not known are in neither.
        maps: Maps shown (n,): of concepts called present whose maps were checked.
        pointed: Those of them whose highest point lies in the true region; a map of a concept that is not there does not.
        pointed_present: The same, and `maps_present` how many, of concepts that are there and have a mask.
        maps_present: See there.
        concepts: How often each concept was called present, and rightly.
        mapped: How often each concept's map was shown, and pointed into the mask.
    """

    called: Array
    right: Array
    maps: Array
    pointed: Array
    maps_present: Array
    pointed_present: Array
    concepts: dict[str, tuple[int, int]]
    mapped: dict[str, tuple[int, float]]

    def shares(self, patients: Sequence[str], *, seed: int = 0) -> dict[str, Estimate]:
        """Return the shares that are true, pooled over studies, with intervals by patient."""
        weights = patient_weights(patients, seed=seed)
        return {
            "present": _ratio(self.right, self.called, weights),
            "pointing": _ratio(self.pointed, self.maps, weights),
            "pointing where present": _ratio(self.pointed_present, self.maps_present, weights),
        }


def read_shown(pipeline: Pipeline, held: Seen, validation: Validation, *, top: int = TOP) -> Shown:
    """Explain every study, and hold the first concepts that are shown against the truth."""
    context = Context(validation=validation, searching=False)
    state = pipeline.scorer.score(held.features, pipeline.bank)
    counts = {name: np.zeros(len(held)) for name in ("called", "right", "maps", "pointed", "there", "pointed_there")}
    concepts: dict[str, tuple[int, int]] = {}
    mapped: dict[str, tuple[int, float]] = {}
    for row in range(len(held)):
        features = held.features.rows(slice(row, row + 1))
        told = explain(pipeline, features, study=str(row), site=None, context=context)
        for reading in told.concepts[:top]:
            c = pipeline.bank.ids.index(reading.id)
            truth = held.truth[row, c]
            if reading.seen != "present" or np.isnan(truth):
                continue
            counts["called"][row] += 1
            counts["right"][row] += truth
            n, hits = concepts.get(reading.id, (0, 0))
            concepts[reading.id] = (n + 1, hits + int(truth))
            if reading.location != "validated" or state.maps is None or not held.masks:
                continue
            mask = held.masks[row].get(reading.id)
            hit = 0.0
            if mask is not None:
                hit = pointing_hit(upsampled(state.maps[row, 0, c][None], mask.shape)[0], mask)
                counts["there"][row] += 1
                counts["pointed_there"][row] += hit
            counts["maps"][row] += 1
            counts["pointed"][row] += hit
            shown, pointed = mapped.get(reading.id, (0, 0.0))
            mapped[reading.id] = (shown + 1, pointed + hit)
    return Shown(
        counts["called"],
        counts["right"],
        counts["maps"],
        counts["pointed"],
        counts["there"],
        counts["pointed_there"],
        concepts,
        mapped,
    )


def _ratio(part: Array, whole: Array, weights: Array) -> Estimate:
    with np.errstate(invalid="ignore", divide="ignore"):
        return Estimate(float(part.sum() / whole.sum()), np.asarray((weights @ part) / (weights @ whole)))


def truth_of(labels: Sequence[Mapping[str, int]], ids: Sequence[str]) -> Array:
    """Return truths (n, C) in the order of a bank's concepts, NaN for a concept that nobody speaks of."""
    return np.array([[float(one.get(concept, np.nan)) for concept in ids] for one in labels])
