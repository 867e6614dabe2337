"""What every object of a report shares: whose name it carries, when it was made, its UIDs, and what it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from osler.report.content import Signature
from osler.report.identity import DEIDENTIFIED, Identity

MANUFACTURER = "Osler"
# Parts of the body of which there is one (PS3.16 Annex L), so that a side says nothing.
UNPAIRED = frozenset(
    {"ABDOMEN", "CHEST", "CSPINE", "HEAD", "HEART", "LSPINE", "NECK", "PELVIS", "SKULL", "SPINE", "TSPINE", "WHOLEBODY"}
)


@dataclass(frozen=True)
class Predecessor:
    """The SR that a report replaces."""

    sop_uid: str
    series_uid: str


@dataclass(frozen=True)
class Making:
    """How one copy of a report is made.

    Attributes:
        identity: Whose name it carries.
        device: UID of this installation.
        made: When the report was made.
        digest: Digest of the content, as it is under whatever identity.
        number: Number of the instance in its series, from 1 on.
        predecessor: The SR that it replaces, None for the first.
    """

    identity: Identity
    device: str
    made: datetime
    digest: str
    number: int = 1
    predecessor: Predecessor | None = None

    def series_uid(self, kind: str) -> str:
        """UID of the series of a kind of object: one series a kind for all reports of a study."""
        return self.identity.uid("series", kind, self.device)

    def sop_uid(self, kind: str) -> str:
        """UID of an object, by all that it says and what it replaces: the same report has the same UID."""
        before = "" if self.predecessor is None else self.predecessor.sop_uid
        return self.identity.uid("instance", kind, self.device, self.digest, before)


def carry_identity(report: Dataset, image: Dataset, making: Making) -> None:
    """Write dates as the copy has them, and say that identity was removed where it was."""
    day, clock = making.identity.moment(making.made)
    report.ContentDate, report.ContentTime = day, clock
    report.InstanceCreationDate, report.InstanceCreationTime = day, clock
    report.SeriesDate, report.SeriesTime = day, clock
    report.SpecificCharacterSet = "ISO_IR 192"
    # What highdicom notes of the modality, from a header that was de-identified, with the time of now.
    report.pop("ContributingEquipmentSequence", None)
    for keyword in DEIDENTIFIED:
        if keyword in image:
            report[keyword] = image[keyword]
    if report.Modality != "SR":
        _say_where(report, image)


def _say_where(report: Dataset, image: Dataset) -> None:
    """Say which part of the body, and which side of a paired one: a series of pictures must (PS3.3 C.7.3.1)."""
    part = str(image.get("BodyPartExamined") or "")
    if part:
        report.BodyPartExamined = part
    side = str(image.get("Laterality") or image.get("ImageLaterality") or "")
    if side in ("L", "R"):
        report.Laterality = side
    elif part not in UNPAIRED:
        report.Laterality = ""  # nobody says


def person_name(name: str) -> str:
    """Return a reader's name as a DICOM name (PS3.5 6.2.1), all of it as the family name: which word is one, nobody says.

    What structures names is left out; the caret says that this is a name of the present form.
    """
    plain = "".join(" " if one in "\\^=" or not one.isprintable() else one for one in name)
    return (" ".join(plain.split())[:63] or "unnamed") + "^"


def signed_at(signature: Signature) -> datetime:
    """Return when a report was signed, in local time."""
    return datetime.fromisoformat(signature.at).astimezone()
