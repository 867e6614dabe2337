"""What is looked at before anything is fitted: every refusal names the entry of the recipe that would mend it."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.problem import Cohort, Problem, Reference

FEWEST = 4  # images of a class in the training part: of three, nothing can be held out and learned from


def check_problem(problem: Problem, *, fewest: int = FEWEST, missing_features: bool = False) -> tuple[str, ...]:
    """Refuse what no method should be fitted on, and return notes on what will be left out.

    Args:
        problem: The problem.
        fewest: Least images of each class in the training part.
        missing_features: Whether the method copes with features that are NaN.

    Raises:
        OslerError: `bank-mismatch` where the bank does not speak of the classes; `table-invalid` where labels, features or
            rows are not what they should be; `support-insufficient` where a part lacks a class; `patient-overlap` where a
            patient is in two parts; `model-hash-mismatch` where features are another encoder's.
    """
    _check_bank(problem)
    parts = {"train": problem.train, "select": problem.select, "calibrate": problem.calibrate}
    everything: dict[str, Cohort | Reference] = {**parts, "reference": problem.reference}
    for name, part in everything.items():
        _check_rows(name, part, problem)
        _check_encoder(name, part, problem)
        _check_features(name, part, missing_features)
    for name, cohort in parts.items():
        _check_classes(name, cohort, problem.classes, fewest if name == "train" else 1)
    _check_patients({name: set(part.patients) for name, part in everything.items()})
    return _notes(problem)


def _check_bank(problem: Problem) -> None:
    strangers = [name for name in problem.classes if name not in problem.bank.findings]
    if strangers:
        raise OslerError(
            Code.BANK_MISMATCH,
            f"The bank {problem.bank.name!r} has no finding {_listed(strangers)}; it has {_listed(problem.bank.findings)}.",
            "Correct `classes` in the recipe, or name another bank under `bank`.",
        )
    if len(problem.classes) < 2:
        raise OslerError(Code.USAGE, f"The task has {len(problem.classes)} class.", "Name two under `classes`.")


def _check_rows(name: str, part: Cohort | Reference, problem: Problem) -> None:
    n, C = len(part.patients), len(problem.bank.ids)
    rows = {"features": len(part.features)}
    if part.concepts is not None:
        rows["concept labels"] = len(part.concepts)
        if part.concepts.shape[1:] != (C,):
            raise _invalid(
                f"The {name} part has concept labels {part.concepts.shape}, the bank has {C} concepts.", "bank"
            )
        if not np.isin(part.concepts[~np.isnan(part.concepts)], (0, 1)).all():
            raise _invalid(f"Concept labels of the {name} part are neither 0 nor 1 nor missing.", "sites")
    if isinstance(part, Cohort):
        rows["labels"] = len(part.y)
        _check_labels(name, part, len(problem.classes))
    else:
        rows["findings"] = len(part.findings)
    if wrong := [f"{count} {what}" for what, count in rows.items() if count != n]:
        raise _invalid(f"The {name} part has {n} patients and {', '.join(wrong)}.", "sites")


def _check_labels(name: str, cohort: Cohort, K: int) -> None:
    y = np.asarray(cohort.y)
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer) or ((y < 0) | (y >= K)).any():
        unlabelled = int(np.isnan(y).sum()) if np.issubdtype(y.dtype, np.floating) else 0
        raise _invalid(
            f"{unlabelled} images of the {name} part have no label."
            if unlabelled
            else f"Labels of the {name} part are not class indices from 0 to {K - 1}.",
            "sites",
        )


def _check_encoder(name: str, part: Cohort | Reference, problem: Problem) -> None:
    made, width = part.encoder_digest, part.features.pooled.shape[1:]
    want = (problem.train.features.pooled.shape[1],)
    own = getattr(problem.encoder, "width", want[0])
    if (made and made != problem.encoder.digest) or width != want or own != want[0]:
        raise OslerError(
            Code.MODEL_HASH_MISMATCH,
            f"Features of the {name} part were made by another encoder: width {width[0] if width else 0}"
            f"{', digest ' + made[:12] if made else ''}, and the encoder is {problem.encoder.digest[:12]} of width {own}.",
            "Encode the images of that part again with what `encoder` names in the recipe.",
        )


def _check_features(name: str, part: Cohort | Reference, missing_features: bool) -> None:
    pooled = part.features.pooled
    bad = np.isinf(pooled) if missing_features else ~np.isfinite(pooled)
    if bad.any():
        raise _invalid(
            f"{int(bad.any(1).sum())} images of the {name} part have features that are missing or infinite.",
            "sites",
            "or use a method that copes with missing features, such as `linear_probe`, under `methods`",
        )


def _check_classes(name: str, cohort: Cohort, classes: tuple[str, ...], fewest: int) -> None:
    counts = np.bincount(cohort.y, minlength=len(classes))
    few = {one: int(count) for one, count in zip(classes, counts, strict=True) if count < fewest}
    if few:
        told = ", ".join(f"{count} of {one!r}" for one, count in few.items())
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"The {name} part has {told}; it needs {fewest} or more of each class.",
            "Give more images of that class under `sites`, take it out of `classes`, or split otherwise.",
        )


def _check_patients(patients: dict[str, set[str]]) -> None:
    for one, other in combinations(patients, 2):
        # Groundings may learn from the very studies that the head learns from; from no other.
        if (one, other) == ("train", "reference"):
            continue
        if shared := len(patients[one] & patients[other]):
            raise OslerError(
                Code.PATIENT_OVERLAP,
                f"{shared} patients are in the {one} and the {other} part.",
                "Split by patient: correct `split` in the recipe, or the column of patients under `sites`.",
            )


def _notes(problem: Problem) -> tuple[str, ...]:
    """Return a sentence on each concept that the reference answers in one way only, or not at all."""
    notes = []
    for c, concept in enumerate(problem.bank.ids):
        answers = problem.reference.concepts[:, c]
        found = np.unique(answers[~np.isnan(answers)])
        if len(found) < 2:
            notes.append(
                f"{concept}: {'always ' + str(int(found[0])) if len(found) else 'not labelled'}, cannot be learned"
            )
    return tuple(notes)


def _invalid(message: str, entry: str, otherwise: str = "") -> OslerError:
    mend = f"Correct what `{entry}` names in the recipe" + (f", {otherwise}" if otherwise else "")
    return OslerError(Code.TABLE_INVALID, message, f"{mend}.")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(repr(one) for one in names)
