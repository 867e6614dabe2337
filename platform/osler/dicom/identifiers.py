"""What identifies the patient of a file, and where else the file says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from osler.dicom.refusals import attempt

_TEXT = ("PatientID", "OtherPatientIDs", "AccessionNumber", "PatientTelephoneNumbers", "MedicalRecordLocator")
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
_PLACES = ("InstitutionName", "InstitutionAddress", "PatientAddress", "StationName", "DeviceSerialNumber")
# Words that stand in name and number fields of test files and say nothing of anybody.
_EMPTY_WORDS = frozenset(
    {"anonymous", "anonymized", "anon", "patient", "unknown", "none", "null", "test", "name", "removed"}
)
_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4
# In long binary values three given letters turn up by chance.
_BULK = 1024
_SHORTEST_IN_BULK = 5


def patient_identifiers(dataset: Dataset) -> frozenset[str]:
    """Return the patient's own words and numbers in a header, in lower case.

    Name components of three letters or more, numbers of four characters or more, and the birth date in the usual ways
    of writing it. Other Patient IDs Sequence is read too.
    """
    found = {word for keyword in _NAMES for text in _values(dataset, keyword) for word in re.split(r"[\^=,\s]+", text)}
    found = {word for word in found if len(word) >= _SHORTEST_WORD}
    sources = [dataset, *(dataset.get("OtherPatientIDsSequence") or ())]
    found |= {
        text for source in sources for key in _TEXT for text in _values(source, key) if len(text) >= _SHORTEST_NUMBER
    }
    for text in _values(dataset, "PatientBirthDate"):
        if re.fullmatch("[0-9]{8}", text):
            year, month, day = text[:4], text[4:6], text[6:]
            found |= {
                text,
                f"{year}-{month}-{day}",
                f"{day}.{month}.{year}",
                f"{month}/{day}/{year}",
                f"{day}/{month}/{year}",
            }
    return frozenset(word for word in (item.lower() for item in found) if word not in _EMPTY_WORDS)


def other_identifiers(dataset: Dataset) -> frozenset[str]:
    """Return names of everybody else whom a header names at any level, and of its institution, in lower case.

    Words of names have four letters or more; an institution counts as a whole, since its words are everybody's.
    """
    found: set[str] = set()
    for element in _walk(dataset):
        if element.VR == "PN":
            words = (word for text in _texts(element.value) for word in re.split(r"[\^=,\s]+", text))
            found |= {word.lower() for word in words if len(word) >= _SHORTEST_NUMBER}
        elif element.keyword in _PLACES:
            found |= {text.lower() for text in _texts(element.value) if len(text) >= _SHORTEST_NUMBER}
    return frozenset(word for word in found if word not in _EMPTY_WORDS)


def mentions(text: str, identifiers: frozenset[str]) -> bool:
    """Return whether a text repeats one of the identifiers as a word, letters in either case."""
    return bool(identifiers) and _pattern(identifiers).search(text.lower()) is not None


def private_identifier(dataset: Dataset, identifiers: frozenset[str]) -> bool:
    """Return whether a private element, at any level, repeats what identifies the patient."""
    long = frozenset(word for word in identifiers if len(word) >= _SHORTEST_IN_BULK)
    return any(
        mentions(text, identifiers if len(text) <= _BULK else long)
        for text in map(_as_text, _private(dataset) if identifiers else ())
    )


def readable_element(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Return an element, None where it is malformed."""
    return attempt(lambda: dataset[tag], None)


def _values(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of one element as stripped texts; none where it is absent or cannot be read."""
    return _texts(attempt(lambda: dataset.get(keyword), None))


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    items = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
    return [text for item in items if (text := str(item).strip())]


def _walk(dataset: Dataset) -> Iterator[DataElement]:
    """Yield every element that can be read, at every level."""
    for tag in list(dataset.keys()):
        element = readable_element(dataset, tag)
        if element is None:
            continue
        yield element
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _walk(item)


@lru_cache(maxsize=64)
def _pattern(identifiers: frozenset[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in sorted(identifiers))
    return re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])")


def _private(dataset: Dataset, inside: bool = False) -> Iterator[DataElement]:
    """Walk the private elements, and everything inside private sequences."""
    for tag in list(dataset.keys()):
        private = inside or tag.is_private
        # Turning bytes into values is most of the cost of a header, and most elements are of no interest here.
        if not private and (dataset.get_item(tag).VR or "SQ") not in ("SQ", "UN"):
            continue
        element = readable_element(dataset, tag)
        if element is None:
            continue
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _private(item, private)
        elif private:
            yield element


def _as_text(element: DataElement) -> str:
    """Return a value as text; bytes as UTF-8 where they are, else as Latin-1, which never fails and keeps ASCII."""
    value = element.value
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, (list, tuple)) or hasattr(value, "append"):
        return "\\".join(str(item) for item in value)
    return str(value)
