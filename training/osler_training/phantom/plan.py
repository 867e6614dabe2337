"""Which studies a hospital holds: patients, visits, diagnoses, and what else is in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.phantom.parameters import DIAGNOSES


@dataclass(frozen=True)
class StudyPlan:
    """One study to be made.

    Attributes:
        patient: Number of the patient within the seed; visits of one patient share build and diagnosis.
        visit: 0 for the first visit.
        diagnosis: One of `parameters.DIAGNOSES`.
        nuisance: Name of the nuisance in the picture, None for none.
        seed: Seed of the population: everything drawn for a study follows from site, seed, patient and visit.
    """

    patient: int
    visit: int
    diagnosis: str
    nuisance: str | None
    seed: int


def confounded_plan(
    n: int,
    classes: Sequence[str],
    nuisance: str | None,
    confounding: float,
    *,
    reversed: bool = False,
    seed: int,
    share_second_visit: float = 0.08,
) -> list[StudyPlan]:
    """Plan studies in which a nuisance goes with one class.

    With confounding r the nuisance is there with chance 1/2 + r/2 where the diagnosis is the first class and 1/2 - r/2
    where it is another; `reversed` swaps the two.

    Args:
        n: Number of studies; as many of each class as divides evenly.
        classes: Diagnoses, two or more.
        nuisance: Name of the nuisance; None for none at all.
        confounding: In [0, 1].
        reversed: Whether the nuisance goes with the other classes instead.
        seed: Seed of the plan and of its population.
        share_second_visit: Share of studies that are a second visit of an earlier patient.

    Raises:
        OslerError: `usage` for an unknown diagnosis, fewer than two classes or figures out of range.
    """
    _check(n, classes, confounding, share_second_visit)
    rng = np.random.default_rng([seed, 0x9A7])
    diagnoses = [classes[index] for index in rng.permutation(np.arange(n) % len(classes))]
    sign = -1.0 if reversed else 1.0
    plans = []
    for patient, visit, diagnosis in _visits(diagnoses, share_second_visit, rng):
        chance = 0.5 + sign * confounding / 2 * (1 if diagnosis == classes[0] else -1)
        there = rng.random() < chance and nuisance is not None
        plans.append(StudyPlan(patient, visit, diagnosis, nuisance if there else None, seed))
    return plans


def mixed_plan(n: int, diagnoses: Sequence[str], seed: int, *, share_second_visit: float = 0.08) -> list[StudyPlan]:
    """Plan studies of several diagnoses in equal parts, without nuisance. Raises `usage` as `confounded_plan`."""
    _check(n, diagnoses, 0.0, share_second_visit, least=1)
    rng = np.random.default_rng([seed, 0x313])
    mixed = [diagnoses[index] for index in rng.permutation(np.arange(n) % len(diagnoses))]
    return [StudyPlan(*visit, None, seed) for visit in _visits(mixed, share_second_visit, rng)]


def _visits(diagnoses: Sequence[str], share: float, rng: np.random.Generator) -> list[tuple[int, int, str]]:
    """Give each study a patient and a visit; a second visit goes to a patient with the same diagnosis and one visit."""
    once: dict[str, list[int]] = {name: [] for name in diagnoses}
    out, patients = [], 0
    for diagnosis in diagnoses:
        waiting = once[diagnosis]
        if waiting and rng.random() < share:
            out.append((waiting.pop(int(rng.integers(len(waiting)))), 1, diagnosis))
        else:
            waiting.append(patients)
            out.append((patients, 0, diagnosis))
            patients += 1
    return out


def _check(n: int, classes: Sequence[str], confounding: float, share: float, least: int = 2) -> None:
    unknown = sorted(set(classes) - set(DIAGNOSES))
    if unknown:
        raise OslerError(
            Code.USAGE, f"Unknown diagnosis: {', '.join(unknown)}.", f"Known ones: {', '.join(DIAGNOSES)}."
        )
    if n < 1 or len(set(classes)) < least or len(set(classes)) != len(classes):
        raise OslerError(
            Code.USAGE,
            f"{n} studies of {len(classes)} diagnoses cannot be planned.",
            f"Give at least one study and {least} different diagnoses.",
        )
    if not 0 <= confounding <= 1 or not 0 <= share < 1:
        raise OslerError(
            Code.USAGE,
            f"Confounding is {confounding:g} and the share of second visits {share:g}.",
            "Both lie between 0 and 1.",
        )
