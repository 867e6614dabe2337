"""Under which identity a copy of a report stands: the archive's pseudonyms, or the patient's own, through the crosswalk."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from pydicom import dcmread
from pydicom.dataset import Dataset

from osler.archive.records import InstanceRecord, StudyRecord
from osler.deid.crosswalk import Crosswalk
from osler.deid.links import LEVELS, PATIENT
from osler.deid.pseudonyms import shift_date
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# What the pseudonymous header holds that says it is one: no copy under the patient's own name may (PS3.3 C.7.1.1).
DEIDENTIFIED = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)
# What the Patient and General Study modules must have, be it empty (type 2).
_REQUIRED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")
_REQUIRED_TOO = ("StudyDate", "StudyTime", "ReferringPhysicianName")
_DUMMIES = ("REMOVED", "000Y")  # what de-identification wrote in place of what nobody knows any more
_DUMMY_DATE = "20000101"  # where the archived study has no date either
LONGEST = {"PatientID": 64, "IssuerOfPatientID": 64, "AccessionNumber": 16, "StudyID": 16, "PatientSex": 16}


@dataclass(frozen=True)
class Identity:
    """The identity of one study in one copy of its report.

    Attributes:
        original: Whether it is the patient's own.
        study: Study Instance UID as the copy has it.
        values: Elements of patient and study by keyword; empty for a pseudonymous copy, which has the archive's.
        uids: What stands for each pseudonymous UID of a series or instance; empty for a pseudonymous copy.
        days: Days by which dates move in this copy: 0 for the patient's own, None where nobody knows the move.
        study_date: The study's date in this copy, empty where it has none.
    """

    original: bool
    study: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    uids: Mapping[str, str] = field(default_factory=dict, repr=False)
    days: int | None = None
    study_date: str = ""

    def uid(self, *parts: str) -> str:
        """Return a UID that follows from this study's, as the copy has it, and from what it is of (PS3.5 B.2).

        Without the original study UID nobody finds the UID of the copy that went to the PACS.
        """
        text = "\n".join(("osler report", self.study, *parts))
        return f"2.25.{uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=5).int}"

    def moment(self, at: datetime) -> tuple[str, str]:
        """Return date and time (DA, TM) of an event in this copy, moved as the patient's dates are.

        Where the move is unknown, the event is dated on the day of the study: its own date would tell the move.
        """
        day = at.strftime("%Y%m%d")
        if self.days is None:
            day = self.study_date or _DUMMY_DATE
        elif self.days:
            day = shift_date(day, self.days) or _DUMMY_DATE
        return day, at.strftime("%H%M%S")

    def header(self, instance: InstanceRecord) -> Dataset:
        """Return the header of an archived image under this identity, without pixels.

        Raises:
            OslerError: `unknown-pseudonym` where the crosswalk does not know the image.
        """
        header = dcmread(instance.path, stop_before_pixels=True)
        for keyword in (*_REQUIRED, *_REQUIRED_TOO):
            if keyword not in header:
                setattr(header, keyword, "")
        if self.original:
            self._rename(header)
        else:
            # The pseudonym in the form of a name, and the dummy that the profile allows: the archive leaves both bare.
            header.PatientName = f"{header.PatientName}^"
            header.StudyID = header.StudyID or "0"
        header.SpecificCharacterSet = "ISO_IR 192"
        return header

    def _rename(self, header: Dataset) -> None:
        for element in list(header):
            if element.keyword in DEIDENTIFIED or str(element.value) in _DUMMIES:
                del header[element.tag]
        for keyword in (*PATIENT, *LEVELS["study"][1]):
            if keyword in self.values:
                setattr(header, keyword, self.values[keyword])
            elif keyword in header:
                setattr(header, keyword, "")
        header.StudyInstanceUID = self.study
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
            setattr(header, keyword, self._known(str(header[keyword].value)))

    def _known(self, pseudonym: str) -> str:
        if pseudonym not in self.uids:
            raise _unknown()
        return self.uids[pseudonym]


def pseudonymous(study: StudyRecord, days: int | None = None) -> Identity:
    """Return the identity that the archive gives a study; `days` is how its patient's dates moved, where it is known."""
    return Identity(False, study.uid, days=days, study_date=study.study_date)


def both(study: StudyRecord, crosswalk: Crosswalk, *, actor: str, reason: str) -> tuple[Identity, Identity]:
    """Return the patient's own identity of a study, and the pseudonymous one with the move of dates; audited.

    Raises:
        OslerError: `unknown-pseudonym` where the crosswalk does not hold the study, its patient or an image;
            `crosswalk-invalid` where what it holds contradicts the archive or cannot be written into a DICOM object.
    """
    headers = [
        dcmread(one.path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]) for one in study.instances
    ]
    series = {str(header.SeriesInstanceUID) for header in headers}
    asked = [study.patient, study.uid, *sorted(series), *(one.uid for one in study.instances)]
    links = crosswalk.look_up_all(asked, subject=study.uid, actor=actor, reason=reason)
    originals = {
        kind: {link.pseudonym: link.originals for link in links if link.kind == kind} for kind in ("patient", *LEVELS)
    }
    if study.uid not in originals["study"] or study.patient not in originals["patient"]:
        raise _unknown()
    if any(link.patient != study.patient for link in links):
        raise _contradicts("It gives the study to another patient than the archive does.")
    own_study = originals["study"][study.uid]
    values = {**originals["patient"][study.patient], **own_study}
    for keyword, value in values.items():
        _check(keyword, value)
    uids = {
        pseudonym: known[LEVELS[kind][0]]
        for kind in ("series", "instance")
        for pseudonym, known in originals[kind].items()
    }
    day = own_study.get("StudyDate", "")
    original = Identity(True, own_study["StudyInstanceUID"], values, uids, 0, day)
    return original, pseudonymous(study, _moved(day, study.study_date))


def _moved(original: str, archived: str) -> int | None:
    """Return by how many days a study's date moved, None where either is no date."""
    try:
        first, second = (date(int(one[:4]), int(one[4:6]), int(one[6:8])) for one in (original, archived))
    except ValueError:
        return None
    return (second - first).days


def _check(keyword: str, value: str) -> None:
    """Refuse what would be read back as something else: identities are written as they are or not at all."""
    allowed = value.isprintable() and "\\" not in value and len(value) <= LONGEST.get(keyword, 324)
    if keyword == "PatientName":
        allowed = allowed and value.count("=") <= 2 and all(group.count("^") <= 4 for group in value.split("="))
    if not allowed:
        raise _contradicts(f"Its {keyword} holds characters, or a length, that no DICOM object can carry.")


def _unknown() -> OslerError:
    return OslerError(
        Code.UNKNOWN_PSEUDONYM,
        "The crosswalk does not hold this study, or not all of its images.",
        "It was ingested without --crosswalk, or with another one: ingest it again with the crosswalk, or name the right one.",
    )


def _contradicts(message: str) -> OslerError:
    return OslerError(
        Code.CROSSWALK_INVALID,
        f"The crosswalk cannot name this study. {message}",
        "Nothing was sent. Ask who keeps it.",
    )
