"""What a file's pseudonyms stand for, as the crosswalk keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pydicom.dataset import Dataset

from osler.deid.basic_profile import patient_key
from osler.deid.pseudonyms import Pseudonymizer
from osler.dicom.refusals import attempt

PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
LEVELS = {
    "study": ("StudyInstanceUID", ("AccessionNumber", "StudyDate", "StudyID")),
    "series": ("SeriesInstanceUID", ()),
    "instance": ("SOPInstanceUID", ()),
}


@dataclass(frozen=True)
class Link:
    """What one pseudonym stands for.

    Attributes:
        kind: `patient`, `study`, `series` or `instance`.
        pseudonym: Pseudonymous patient ID or UID.
        patient: Pseudonym of the patient whom it belongs to.
        originals: Original values by DICOM keyword.
    """

    kind: str
    pseudonym: str
    patient: str
    originals: Mapping[str, str]


def links_of(dataset: Dataset, pseudonymizer: Pseudonymizer, issuer: str) -> tuple[Link, ...]:
    """Return the links of a file with its original header: patient, study, series and instance."""
    patient = pseudonymizer.patient(*patient_key(dataset, issuer))
    links = [Link("patient", patient, patient, _values(dataset, PATIENT))]
    for kind, (uid, others) in LEVELS.items():
        values = _values(dataset, (uid, *others))
        if uid in values:
            links.append(Link(kind, pseudonymizer.uid(values[uid]), patient, values))
    return tuple(links)


def _values(dataset: Dataset, keywords: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for keyword in keywords:
        value = str(attempt(partial(dataset.get, keyword), None) or "").strip()
        if value:
            found[keyword] = value
    return found
