"""Whether an object that was read back is the one that was sent."""

from __future__ import annotations

from pydicom.dataset import Dataset

# What a PACS may set of its own when it stores: patient and study as it knows them, and where it keeps an object
# (PS3.3 C.12.1, PS3.4 B.2.3). What the report says, what it refers to and replaces, must come back as it went.
_PATIENT_GROUP = 0x0010
_LEFT_TO_PACS = frozenset(
    {
        "AccessionNumber",
        "ReferringPhysicianName",
        "SpecificCharacterSet",
        "StudyDate",
        "StudyDescription",
        "StudyID",
        "StudyTime",
        "InstanceAvailability",
        "RetrieveAETitle",
        "RetrieveURL",
        "TimezoneOffsetFromUTC",
        "OriginalAttributesSequence",
    }
)


def same_values(sent: Dataset, held: Dataset) -> bool:
    """Return whether two data sets say the same, element by element; file meta is the PACS's own."""
    return _plain(sent) == _plain(held)


def _plain(dataset: Dataset) -> Dataset:
    plain = Dataset()
    for element in dataset:
        if element.keyword not in _LEFT_TO_PACS and element.tag.group != _PATIENT_GROUP:
            plain.add(element)
    return plain
