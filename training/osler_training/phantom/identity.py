"""Invented patients and visits: everything that de-identification will have to remove."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.seeds import stream
from osler_training.phantom.sites import SiteProfile
from osler_training.phantom.spec import Patient

FIRST, LAST = datetime(2019, 1, 1), datetime(2024, 12, 31)
# Syllables make names that are no words of a report, so that blanking a name never blanks a finding.
_FAMILY = (
    "bra",
    "dov",
    "esk",
    "gral",
    "hul",
    "jor",
    "kem",
    "lund",
    "mor",
    "nev",
    "osk",
    "pel",
    "quin",
    "rask",
    "sol",
    "tvar",
)
_ENDING = ("acek", "borg", "dotter", "enko", "ides", "imura", "lund", "mann", "oglu", "owicz", "sen", "uwa")
_GIVEN = {
    "F": (
        "Adela",
        "Berit",
        "Chika",
        "Dorota",
        "Esma",
        "Fenna",
        "Ginevra",
        "Hanneke",
        "Ilse",
        "Jadwiga",
        "Katya",
        "Zenobia",
    ),
    "M": (
        "Anselm",
        "Bartosz",
        "Cornelis",
        "Dragan",
        "Emeka",
        "Fabrizio",
        "Goran",
        "Hamza",
        "Ivo",
        "Jorrit",
        "Kenji",
        "Zoltan",
    ),
}


@dataclass(frozen=True)
class Identity:
    """Who was examined, when and for whom; nobody real.

    Attributes:
        name: Patient's name, family and given separated by `^`.
        number: The hospital's number of the patient.
        sex: `F` or `M`.
        birth_date: YYYYMMDD.
        age: DICOM age at the study, such as 063Y.
        address: Street and town.
        phone: Telephone number.
        accession: Accession number of the study.
        moment: When the study began.
        referring: Name of the referring physician.
        performing: Name of the radiologist.
        operator: Name of the radiographer.
    """

    name: str
    number: str
    sex: str
    birth_date: str
    age: str
    address: str
    phone: str
    accession: str
    moment: datetime
    referring: str
    performing: str
    operator: str


def identity_of(plan: StudyPlan, site: SiteProfile, patient: Patient) -> Identity:
    """Return the identity of a plan's study; a patient's visits share all but date, age and accession number."""
    history = stream(plan, site, "identity", whole_patient=True)
    start = FIRST + timedelta(minutes=int(history.integers((LAST - FIRST).days * 3 // 4 * 1440)))
    born = start - timedelta(days=int(patient.age * 365.25 + history.integers(1, 365)))
    name, street, town = _name(history, patient.sex), _family(history), _family(history)
    house, phone = int(history.integers(1, 200)), int(history.integers(10**6, 10**7))
    visit = stream(plan, site, "visit")
    later = timedelta(minutes=int(visit.integers(20 * 1440, 120 * 1440)))
    moment = min(start + plan.visit * later, LAST)
    return Identity(
        name=name,
        number=f"{site.name[:3].upper()}{plan.seed % 1000:03d}{plan.patient:06d}",
        sex=patient.sex,
        birth_date=born.strftime("%Y%m%d"),
        age=f"{(moment - born).days * 4 // 1461:03d}Y",
        address=f"{house} {street} Street, {town}ville",
        phone=f"+00 {phone}",
        accession=f"A{visit.integers(10**8, 10**9)}",
        moment=moment,
        referring=_name(visit, "F"),
        performing=_name(visit, "M"),
        operator=_name(visit, "F"),
    )


def _family(rng: np.random.Generator) -> str:
    return (str(rng.choice(_FAMILY)) + str(rng.choice(_ENDING))).capitalize()


def _name(rng: np.random.Generator, sex: str) -> str:
    return f"{_family(rng)}^{rng.choice(_GIVEN[sex])}"
