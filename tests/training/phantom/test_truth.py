"""The truth of concepts: where each begins, what devices do, and that every one occurs and fails to occur."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler_training.phantom.anatomy import Anatomy
from osler_training.phantom.findings import ALVEOLAR, KERLEY, PERIBRONCHIAL
from osler_training.phantom.parameters import CONCEPTS, DEVICES, DIAGNOSES, PARAMETERS
from osler_training.phantom.spec import Finding, StudySpec, sample_patient, sample_study
from osler_training.phantom.truth import RAISED, SHIFTED_MM, concept_truth

DETAIL = {"x": 0.5, "y": 0.5, "size": 0.5, "texture": 0.5}
LOBAR = {**DETAIL, "texture": 0.9}


def study(*findings: Finding, devices: tuple[str, ...] = (), rotation: float = 0.0) -> StudySpec:
    patient = replace(sample_patient(np.random.default_rng(3)), ratio=0.45, rotation=rotation)
    return StudySpec("normal", "PA", patient, findings, devices, 7)


def truth(*findings: Finding, **others: object) -> set[str]:
    """Names of the concepts that hold."""
    told = concept_truth(Anatomy(study(*findings, **others), 4))  # type: ignore[arg-type]
    assert tuple(told) == CONCEPTS
    assert set(told.values()) <= {0, 1}
    return {name for name, value in told.items() if value}


def one(
    kind: str, severity: float, side: str = "right", zone: str = "", detail: dict[str, float] | None = None
) -> Finding:
    return Finding(kind, side, zone, severity, detail or DETAIL)


THRESHOLDS = {
    "cephalized_vessels": ("oedema", "both", "", 0.3),
    "perihilar_haze": ("oedema", "both", "", 0.3),
    "peribronchial_cuffing": ("oedema", "both", "", PERIBRONCHIAL),
    "kerley_b_lines": ("oedema", "both", "", KERLEY),
    "airspace_opacity": ("oedema", "both", "", ALVEOLAR),
    "bilateral_opacities": ("oedema", "both", "", ALVEOLAR),
    "blunted_costophrenic_angle": ("effusion", "left", "lower", 0.1),
    "meniscus_sign": ("effusion", "left", "lower", 0.25),
    "basal_opacity": ("effusion", "left", "lower", 0.25),
    "focal_opacity": ("consolidation", "left", "middle", PARAMETERS.visible),
    "visceral_pleural_line": ("pneumothorax", "left", "", PARAMETERS.visible),
    "absent_peripheral_lung_markings": ("pneumothorax", "right", "", PARAMETERS.visible),
    "rounded_opacity": ("nodule", "right", "upper", PARAMETERS.visible),
    "linear_opacity": ("atelectasis", "right", "lower", PARAMETERS.visible),
    "volume_loss": ("atelectasis", "right", "lower", RAISED),
    "elevated_hemidiaphragm": ("atelectasis", "left", "lower", RAISED),
    "flattened_diaphragm": ("hyperinflation", "both", "", 0.3),
    "hyperlucent_lungs": ("hyperinflation", "both", "", 0.3),
    "air_bronchograms": ("consolidation", "left", "middle", 0.5),
}


@pytest.mark.parametrize("concept", THRESHOLDS)
def test_a_sign_begins_at_its_severity(concept: str) -> None:
    kind, side, zone, least = THRESHOLDS[concept]
    assert concept not in truth(one(kind, least - 0.01, side, zone))
    assert concept in truth(one(kind, least + 0.01, side, zone))


def test_nothing_holds_of_a_patient_without_disease_or_devices() -> None:
    assert truth() == set()


def test_turning_the_patient_is_no_shift_of_the_mediastinum() -> None:
    slight = one("atelectasis", 0.25, "left", "lower")
    pulled, turned = (Anatomy(study(slight, rotation=angle), 4).shift for angle in (0.0, 5.0))
    assert pulled < SHIFTED_MM < turned
    assert "mediastinal_shift" not in truth(slight, rotation=5.0)


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_true_of_itself_alone(device: str) -> None:
    assert truth(devices=(device,)) == {device}


def test_the_size_of_the_heart_is_judged_by_its_ratio_not_by_the_view() -> None:
    for ratio, expected in (
        (0.39, {"narrow_cardiac_silhouette"}),
        (0.45, set()),
        (0.51, {"enlarged_cardiac_silhouette"}),
    ):
        for view in ("PA", "AP"):
            spec = study()
            shown = replace(spec, view=view, patient=replace(spec.patient, ratio=ratio))
            assert {name for name, value in concept_truth(Anatomy(shown, 4)).items() if value} == expected


def test_consolidations_are_told_apart_by_place_shape_and_number() -> None:
    right = one("consolidation", 0.4, "right", "middle")
    assert "bilateral_opacities" not in truth(right, one("consolidation", 0.4, "right", "upper"))
    assert "bilateral_opacities" in truth(right, one("consolidation", 0.4, "left", "upper"))
    assert "lobar_distribution" not in truth(right)
    assert "lobar_distribution" in truth(one("consolidation", 0.4, "right", "middle", LOBAR))
    assert "basal_opacity" not in truth(right)
    assert "basal_opacity" in truth(one("consolidation", 0.4, "right", "lower"))


def test_a_border_is_lost_only_beside_it() -> None:
    near, far = {**DETAIL, "x": 0.0}, {**DETAIL, "x": 1.0, "size": 0.0}
    assert "silhouette_sign" in truth(one("consolidation", 0.6, "left", "middle", near))
    assert "silhouette_sign" not in truth(one("consolidation", 0.6, "left", "upper", near))
    assert "silhouette_sign" not in truth(one("consolidation", 0.6, "right", "middle", far))


@pytest.mark.parametrize(("kind", "severity"), [("effusion", 0.9), ("pneumothorax", 0.9), ("atelectasis", 0.5)])
def test_the_mediastinum_shifts_with_what_pushes_or_pulls(kind: str, severity: float) -> None:
    assert "mediastinal_shift" in truth(one(kind, severity, "left", "lower"))
    assert "mediastinal_shift" not in truth(one(kind, 0.3, "left", "lower"))


def test_every_concept_occurs_and_fails_to_occur() -> None:
    rates = dict.fromkeys(DEVICES, 0.3)
    totals = dict.fromkeys(CONCEPTS, 0)
    count = 640
    for index in range(count):
        spec = sample_study(DIAGNOSES[index % 8], np.random.default_rng([5, index]), device_rates=rates)
        for name, value in concept_truth(Anatomy(spec, 4)).items():
            totals[name] += value
    rare = {name: total for name, total in totals.items() if not 0.02 * count < total < 0.6 * count}
    assert not rare, f"of {count} studies: {rare}"


def test_disease_separates_the_two_classes_of_the_demonstration() -> None:
    """Signs of each class are common in it and rare in the other: the task is there to be learned from concepts."""
    shares = {}
    for diagnosis in ("heart_failure", "pneumonia"):
        told = [concept_truth(Anatomy(sample_study(diagnosis, np.random.default_rng([6, i])), 4)) for i in range(200)]
        shares[diagnosis] = {name: float(np.mean([each[name] for each in told])) for name in CONCEPTS}
    for name in ("perihilar_haze", "cephalized_vessels", "enlarged_cardiac_silhouette"):
        assert shares["heart_failure"][name] > shares["pneumonia"][name] + 0.5, name
    for name in ("focal_opacity", "airspace_opacity"):
        assert shares["pneumonia"][name] > shares["heart_failure"][name] + 0.3, name
