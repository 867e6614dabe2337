"""What no method is fitted on: each refusal names its entry, and comes before any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.checks import check_problem
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Problem

World = Callable[..., Any]


def part(problem: Problem, name: str, **changes: Any) -> Problem:
    return replace(problem, **{name: replace(getattr(problem, name), **changes)})


def spoiled(problem: Problem) -> dict[str, tuple[Problem, Code, str, str]]:
    """Every fault, with its code, a word of the message and the entry to change."""
    train, select, reference = problem.train, problem.select, problem.reference
    y, n = train.y, len(train)
    three = np.sort(np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:3]])
    half = Features(select.features.pooled[:, :5])
    hollow = train.features.pooled.copy()
    hollow[7, 2] = np.nan
    labels = reference.concepts.copy()
    labels[3, 1] = 0.5
    mixed = (train.patients[0], *select.patients[1:])
    return {
        "class of three": (
            replace(problem, train=train.rows(three)),
            Code.SUPPORT_INSUFFICIENT,
            "3 of 'class 1'",
            "sites",
        ),
        "no class": (
            replace(problem, calibrate=problem.calibrate.rows(problem.calibrate.y == 0)),
            Code.SUPPORT_INSUFFICIENT,
            "calibrate part has 0 of 'class 1'",
            "classes",
        ),
        "patient twice": (
            part(problem, "select", patients=mixed),
            Code.PATIENT_OVERLAP,
            "train and the select",
            "split",
        ),
        "patient grounded": (
            part(problem, "reference", patients=(*select.patients[:1], *reference.patients[1:])),
            Code.PATIENT_OVERLAP,
            "select and the reference",
            "split",
        ),
        "no label": (
            part(problem, "train", y=np.where(np.arange(n) < 2, np.nan, y)),
            Code.TABLE_INVALID,
            "2 images of the train",
            "sites",
        ),
        "label out of range": (part(problem, "train", y=y + 1), Code.TABLE_INVALID, "class indices", "sites"),
        "no feature": (
            part(problem, "train", features=Features(hollow)),
            Code.TABLE_INVALID,
            "1 images",
            "linear_probe",
        ),
        "other width": (part(problem, "select", features=half), Code.MODEL_HASH_MISMATCH, "select", "encoder"),
        "other encoder": (
            part(problem, "reference", encoder_digest="9" * 64),
            Code.MODEL_HASH_MISMATCH,
            "digest 999999999999",
            "encoder",
        ),
        "other bank": (replace(problem, classes=("class 0", "nevus")), Code.BANK_MISMATCH, "'nevus'", "bank"),
        "other concepts": (
            part(problem, "reference", concepts=labels[:, :3]),
            Code.TABLE_INVALID,
            "6 concepts",
            "bank",
        ),
        "half a concept": (part(problem, "reference", concepts=labels), Code.TABLE_INVALID, "neither 0 nor 1", "sites"),
        "rows missing": (
            part(problem, "train", features=train.features.rows(slice(9))),
            Code.TABLE_INVALID,
            "9",
            "sites",
        ),
    }


FAULTS = (
    "class of three",
    "no class",
    "patient twice",
    "patient grounded",
    "no label",
    "label out of range",
    "no feature",
    "other width",
    "other encoder",
    "other bank",
    "other concepts",
    "half a concept",
    "rows missing",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_the_entry_to_change(
    planted: World, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, code, said, entry = spoiled(planted(2).problem)[fault]

    def trained(*args: Any, **options: Any) -> None:
        raise AssertionError("Training began")

    monkeypatch.setattr("osler_training.fit.methods.bottleneck.fit", trained)
    with pytest.raises(OslerError) as caught:
        fit_method("bottleneck", problem, {}, seed=0)
    assert caught.value.code is code
    assert said in caught.value.message
    assert f"`{entry}`" in caught.value.mend


def test_every_fault_is_tried(planted: World) -> None:
    assert set(spoiled(planted(2).problem)) == set(FAULTS)


def test_a_sound_problem_passes_and_may_ground_on_what_it_trains_on(planted: World) -> None:
    problem = planted(2).problem
    assert check_problem(problem) == ()
    own = replace(problem.reference, features=problem.train.features, patients=problem.train.patients)
    own = replace(own, concepts=problem.train.concepts, findings=np.eye(2)[problem.train.y])
    assert check_problem(replace(problem, reference=own)) == ()
    digest = problem.encoder.digest
    assert check_problem(part(problem, "train", encoder_digest=digest)) == ()


def test_a_constant_concept_is_left_out_with_a_note_and_a_bank_of_them_is_refused(planted: World) -> None:
    problem = planted(2).problem
    labels = problem.reference.concepts.copy()
    labels[:, 0], labels[:, 4] = 1.0, np.nan
    some = part(problem, "reference", concepts=labels)
    notes = check_problem(some)
    assert [note.split(":")[0] for note in notes] == ["concept_0", "concept_4"]
    fitted: Any = fit_method("bottleneck", some, {}, seed=0)
    assert fitted.pipeline.bank.ids == ("concept_1", "concept_2", "concept_3", "concept_5")
    skipped = {fit.concept: fit.skipped for fit in fitted.grounding.fits if fit.skipped}
    assert skipped == {"concept_0": "one answer only", "concept_4": "no answer"}
    with pytest.raises(OslerError) as caught:
        fit_method("bottleneck", part(problem, "reference", concepts=np.ones_like(labels)), {}, seed=0)
    assert caught.value.code is Code.NOTHING_ELIGIBLE
