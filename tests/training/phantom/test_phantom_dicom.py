"""Films are valid DICOM with a full, invented identity."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from osler.dicom.identifiers import patient_identifiers, private_identifier
from osler.dicom.views import is_frontal, orientation_of, view_of
from osler_training.phantom.dicom import Film, film_dataset, to_bytes
from osler_training.phantom.identity import Identity, identity_of
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import HOSPITAL_A, HOSPITAL_B, REFERENCE_SITES, TRANSFER_SYNTAXES, SiteProfile
from osler_training.phantom.study import study_spec

PLAN = StudyPlan(5, 0, "heart_failure", None, 9)
SITES = (
    *(HOSPITAL_A, HOSPITAL_B, *REFERENCE_SITES),
    *(replace(HOSPITAL_A, transfer_syntax_uid=syntax, bits_stored=16) for syntax in TRANSFER_SYNTAXES),
    *(replace(HOSPITAL_B, transfer_syntax_uid=syntax, bits_stored=10) for syntax in TRANSFER_SYNTAXES),
)


def _identity(plan: StudyPlan, site: SiteProfile) -> Identity:
    return identity_of(plan, site, study_spec(plan, site).patient)


def _content(site: SiteProfile, view: str = "PA", number: int = 1, plan: StudyPlan = PLAN) -> bytes:
    pixels = np.random.default_rng(number).integers(0, site.top + 1, (64, 64)).astype(np.uint16)
    return to_bytes(film_dataset(Film(pixels, view, 0.4, number), plan, site, _identity(plan, site)))


def _read(content: bytes) -> FileDataset:
    return dcmread(BytesIO(content))


@pytest.mark.system
@pytest.mark.parametrize("view", ["PA", "AP", "LL"])
@pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.name}-{site.transfer_syntax_uid[-5:]}")
def test_dciodvfy_finds_no_error(site: SiteProfile, view: str, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(_content(site, view))
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "DXImageForPresentation" in said
    assert "Error" not in said


@pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.name}-{site.transfer_syntax_uid[-5:]}")
def test_pixels_come_back_exactly(site: SiteProfile) -> None:
    dataset = _read(_content(site))
    expected = np.random.default_rng(1).integers(0, site.top + 1, (64, 64))
    assert dataset.file_meta.TransferSyntaxUID == site.transfer_syntax_uid
    np.testing.assert_array_equal(dataset.pixel_array, expected)


def test_the_same_film_gives_the_same_bytes_and_others_other_uids() -> None:
    assert _content(HOSPITAL_B) == _content(HOSPITAL_B)
    first, second, lateral = (
        _read(_content(HOSPITAL_B, view, number)) for view, number in (("PA", 1), ("PA", 2), ("LL", 3))
    )
    assert first.StudyInstanceUID == second.StudyInstanceUID == lateral.StudyInstanceUID
    assert len({one.SOPInstanceUID for one in (first, second, lateral)}) == 3
    assert first.AcquisitionTime != second.AcquisitionTime
    elsewhere = _read(_content(HOSPITAL_A))
    assert elsewhere.StudyInstanceUID != first.StudyInstanceUID


@pytest.mark.parametrize(("view", "frontal"), [("PA", True), ("AP", True), ("LL", False)])
def test_views_are_told_as_the_platform_reads_them(view: str, frontal: bool) -> None:
    dataset = _read(_content(HOSPITAL_A, view))
    assert view_of(dataset) == view
    assert is_frontal("DX", "", orientation_of(dataset)) is frontal
    del dataset.ViewPosition
    assert view_of(dataset) == view


def test_every_film_names_its_invented_patient_and_nothing_private() -> None:
    dataset = _read(_content(HOSPITAL_A))
    identity = _identity(PLAN, HOSPITAL_A)
    assert str(dataset.PatientName) == identity.name
    assert {identity.number.lower(), identity.accession.lower(), identity.birth_date} <= patient_identifiers(dataset)
    assert not private_identifier(dataset, patient_identifiers(dataset))
    assert dataset.BurnedInAnnotation == "NO"


def test_a_second_visit_is_later_and_of_the_same_person() -> None:
    for patient in range(20):
        first, second = (_identity(replace(PLAN, patient=patient, visit=visit), HOSPITAL_A) for visit in (0, 1))
        assert (first.name, first.number, first.birth_date) == (second.name, second.number, second.birth_date)
        assert first.accession != second.accession
        assert 2019 <= first.moment.year <= second.moment.year <= 2024
        assert first.moment < second.moment
        assert int(first.age[:3]) == study_spec(replace(PLAN, patient=patient), HOSPITAL_A).patient.age
