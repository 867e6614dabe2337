"""Named nuisances of acquisition: what a model may take for disease although it is none.

Strengths were set once, by eye: a reader who looks sees each, and none shouts. The encoder's training may use
`TRAINING_NUISANCES` only; experiments draw from `HELD_OUT_NUISANCES`, so that no nuisance of an experiment is known to it.
`MIMIC` is a nuisance of another kind: a supine film enlarges the heart's shadow and flattens the breath, which looks like an
enlarged heart; truth stays that of the heart itself, so a reader of concepts is expected to be misled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.phantom import nuisance_objects as objects
from osler_training.phantom.anatomy import Map
from osler_training.phantom.spec import StudySpec

Change = Callable[[Map, Map, Map, np.random.Generator], Map]


@dataclass(frozen=True)
class Nuisance:
    """One nuisance; everything left out stays as it is.

    Attributes:
        name: Its name.
        beam: Adds attenuation in the beam, see `nuisance_objects`.
        process: Changes fractions of the stored range.
        view: The view it forces.
        magnify_heart: Factor by which projection enlarges the heart.
        inspiration: Added to the patient's inspiration.
    """

    name: str
    beam: Change | None = None
    process: Change | None = None
    view: str = ""
    magnify_heart: float = 1.0
    inspiration: float = 0.0

    def overlay(self, attenuation: Map, x_mm: Map, y_mm: Map, rng: np.random.Generator) -> Map:
        """Return attenuation (S, S) with what lies in the beam."""
        return np.asarray(self.beam(attenuation, x_mm, y_mm, rng), np.float32) if self.beam else attenuation

    def finish(self, fraction: Map, x_mm: Map, y_mm: Map, rng: np.random.Generator) -> Map:
        """Return fractions (S, S) in [0, 1] as the machine leaves them."""
        if self.process is None:
            return fraction
        return np.clip(self.process(fraction, x_mm, y_mm, rng), 0, 1).astype(np.float32)

    def prepare(self, spec: StudySpec) -> StudySpec:
        """Return the study as the patient lies and breathes."""
        if not self.view and not self.inspiration:
            return spec
        patient = replace(spec.patient, inspiration=spec.patient.inspiration + self.inspiration)
        return replace(spec, view=self.view or spec.view, patient=patient)


TRAINING_NUISANCES = (
    Nuisance("portable", view="AP"),
    Nuisance("necklace", beam=objects.necklace),
    Nuisance("zipper", beam=objects.zipper),
    Nuisance("lead_plate", process=objects.lead_plate),
    Nuisance("tight_collimation", process=objects.tight_collimation),
    Nuisance("vignette", process=objects.vignette),
    Nuisance("soft_processing", process=objects.soft_processing),
)
HELD_OUT_NUISANCES = (
    Nuisance("gown_snaps", beam=objects.gown_snaps),
    Nuisance("blanket_folds", beam=objects.blanket_folds),
    Nuisance("grid_lines", process=objects.grid_lines),
    Nuisance("tile_seam", process=objects.tile_seam),
    Nuisance("octagonal_collimation", process=objects.octagonal_collimation),
    Nuisance("table_edge", beam=objects.table_edge),
    Nuisance("edge_enhancement", process=objects.edge_enhancement),
    Nuisance("corner_annotation", process=objects.corner_annotation),
    Nuisance("heel_effect", beam=objects.heel_effect),
)
MIMIC = Nuisance("supine_magnification", magnify_heart=1.2, inspiration=-0.9)
NUISANCES = {one.name: one for one in (*TRAINING_NUISANCES, *HELD_OUT_NUISANCES, MIMIC)}


def nuisance_named(name: str) -> Nuisance:
    """Return a nuisance. Raises `usage` for an unknown name."""
    if name not in NUISANCES:
        raise OslerError(Code.USAGE, f"There is no nuisance {name}.", f"Known ones: {', '.join(sorted(NUISANCES))}.")
    return NUISANCES[name]


def held_out(seed: int) -> Nuisance:
    """Draw one of the nuisances that the encoder's training never saw."""
    return HELD_OUT_NUISANCES[int(np.random.default_rng([seed, 0x4E1D]).integers(len(HELD_OUT_NUISANCES)))]
