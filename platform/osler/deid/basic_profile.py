"""Applying the profile to a data set, every level of it, and to its file meta."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from pydicom import dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from osler import __version__
from osler.deid.actions import PIXELS, TABLE_EDITION, Action, action_for
from osler.deid.byte_search import found_in
from osler.deid.options import BASIC, Option, Profile
from osler.deid.pseudonyms import Pseudonymizer, shift_date
from osler.deid.rewrite import strip_extras
from osler.deid.safe_private import is_safe_private
from osler.dicom.identifiers import mentions, other_identifiers, patient_identifiers, readable_element
from osler.dicom.refusals import refusal, refusing
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

IMPLEMENTATION_CLASS_UID = "2.25.301942167354213977180921873254103310551"
# CID 7050
METHOD_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
CLEAN_PIXELS = {"113101": "Clean Pixel Data Option"}
OPTION_CODES = {
    Option.CHARACTERISTICS: {"113108": "Retain Patient Characteristics Option"},
    Option.DEVICE: {"113109": "Retain Device Identity Option"},
    Option.SAFE_PRIVATE: {"113111": "Retain Safe Private Option"},
}
# Dates that say who somebody is rather than when something was done.
_PERSONAL_DATES = frozenset({0x00100030, 0x00100032})
_DATES = frozenset({"DA", "DT"})
_TEXTS = frozenset({"AS", "CS", "DS", "IS", "LO", "SH"})
_WORDS = frozenset({"LO", "SH"})
_DUMMIES: dict[str, Any] = {
    "AS": "000Y",
    "DS": "0",
    "IS": "0",
    **dict.fromkeys(("FD", "FL", "SL", "SS", "UL", "US"), 0),
}
_DUMMIES |= dict.fromkeys(("OB", "OW", "UN"), b"")
_DUMMY_TEXT = "REMOVED"
_PIXEL_DATA = 0x7FE00010


def patient_key(dataset: Dataset, issuer: str) -> tuple[str, str]:
    """Return what the pseudonym of a file's patient hangs on: number and issuer, or the study where there is no number.

    Args:
        dataset: The original header.
        issuer: Who issued the number where the header does not say: the site.
    """
    number = str(dataset.get("PatientID") or "").strip()
    if not number:
        return str(dataset.get("StudyInstanceUID") or dataset.get("SOPInstanceUID") or ""), "study"
    return number, str(dataset.get("IssuerOfPatientID") or issuer)


def deidentify(
    dataset: Dataset,
    pseudonymizer: Pseudonymizer,
    *,
    issuer: str,
    profile: Profile = BASIC,
    pixels_judged: bool = False,
) -> None:
    """De-identify a data set in place; decoded pixels and transfer syntax stay as they are.

    Basic Application Level Confidentiality Profile with the option to retain longitudinal information with modified
    dates (PS3.15 E.2, E.3.6), and those of the profile. Whatever is left and still repeats the patient's name, number
    or birth date is emptied too, and texts that name anybody else whom the header names.

    Args:
        dataset: A data set read from a file, with its file meta.
        pseudonymizer: Source of pseudonyms.
        issuer: See `patient_key`.
        profile: What is retained beyond the Basic Profile.
        pixels_judged: Whether burned-in text was looked for, and none is left: Patient Identity Removed is YES then only.
    """
    person = patient_key(dataset, issuer)
    cleaner = _Cleaner(pseudonymizer, pseudonymizer.days(*person), dataset, profile.options)
    strip_extras(dataset)
    cleaner.clean(dataset)
    pseudonym = pseudonymizer.patient(*person)
    dataset.PatientID = pseudonym
    dataset.PatientName = pseudonym
    dataset.PatientIdentityRemoved = "YES" if pixels_judged else "NO"
    if pixels_judged:
        dataset.BurnedInAnnotation = "NO"
    dataset.DeidentificationMethod = [f"Osler {__version__}", f"PS3.15 E.1-1 {TABLE_EDITION}"]
    dataset.DeidentificationMethodCodeSequence = _method_codes(profile, pixels_judged)
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.file_meta = _file_meta(dataset)
    dataset.preamble = b"\0" * 128


def _method_codes(profile: Profile, pixels_judged: bool) -> list[Dataset]:
    codes = METHOD_CODES | (CLEAN_PIXELS if pixels_judged else {})
    for option in sorted(profile.options):
        codes = codes | OPTION_CODES[option]
    return [_code(value, meaning) for value, meaning in sorted(codes.items())]


def to_bytes(dataset: Dataset) -> bytes:
    """Encode a de-identified data set as a file; the same data set gives the same bytes.

    Raises:
        OslerError: `header-invalid` where a value that is kept cannot be encoded.
    """
    buffer = BytesIO()
    with refusing(_from_writing_error):
        dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _from_writing_error(error: Exception) -> OslerError:
    message = f"A value of the header cannot be written back ({type(error).__name__})."
    return refusal(Code.HEADER_INVALID, message)


class _Cleaner:
    """Walks one file's data set with that patient's pseudonyms."""

    def __init__(self, pseudonymizer: Pseudonymizer, days: int, dataset: Dataset, options: frozenset[Option]) -> None:
        self._pseudonymizer = pseudonymizer
        self._days = days
        self._options = options
        self._patient = patient_identifiers(dataset)
        self._anybody = self._patient | other_identifiers(dataset)

    def clean(self, dataset: Dataset) -> None:
        safe = {tag for tag in dataset.keys() if self._is_safe(dataset, tag)}  # noqa: SIM118 - elements, not tags
        for tag in list(dataset.keys()):
            if tag in safe:
                continue
            # What cannot be read cannot be judged, and does not stay.
            element = readable_element(dataset, tag)
            action = Action.REMOVE if element is None else action_for(element.tag, element.VR, self._options)
            if element is None or action is Action.REMOVE:
                del dataset[tag]
                continue
            if tag != _PIXEL_DATA:
                # One encoding of what may have several, and none that only a sequence or pixels may have (PS3.5 7.1.1).
                element.is_undefined_length = False
            if element.VR == "SQ":
                self._clean_sequence(element, action)
            else:
                self._clean_element(element, action)

    def _is_safe(self, dataset: Dataset, tag: BaseTag) -> bool:
        return Option.SAFE_PRIVATE in self._options and tag.is_private and is_safe_private(dataset, tag)

    def _clean_sequence(self, element: DataElement, action: Action) -> None:
        if action in (Action.EMPTY, Action.DUMMY):
            element.value = []
            return
        for item in element.value or ():
            item.is_undefined_length_sequence_item = False
            self.clean(item)

    def _clean_element(self, element: DataElement, action: Action) -> None:
        if element.tag in _PERSONAL_DATES:
            element.value = None
        elif element.VR in _DATES:
            element.value = _mapped(element.value, lambda text: shift_date(text, self._days))
        elif element.VR == "UI":
            element.value = _mapped(element.value, self._uid) if action is not Action.KEEP else element.value
        elif element.VR == "TM":
            # The option keeps the time of day, only days move; what is no time does not stay.
            element.value = _mapped(element.value, lambda text: text if re.fullmatch("[0-9.:]*", text) else "")
        elif action is Action.EMPTY:
            element.value = None
        elif action is Action.DUMMY:
            element.value = _DUMMIES.get(element.VR, _DUMMY_TEXT)
        elif self._tells(element):
            element.value = None

    def _tells(self, element: DataElement) -> bool:
        """Return whether a value that may stay repeats an identifier; how pixels are laid out is no such value."""
        if isinstance(element.value, (bytes, bytearray)):
            return element.tag not in PIXELS and any(found_in(bytes(element.value), self._patient))
        if element.tag.group == 0x0028 and element.VR not in _TEXTS:
            return False
        named = self._anybody if element.VR in _WORDS else self._patient
        return mentions(_joined(element.value), named)

    def _uid(self, original: str) -> str:
        # The standard's own UIDs, which name no one, are those that have a name.
        return original if not original or UID(original).name != original else self._pseudonymizer.uid(original)


def _mapped(value: Any, change: Any) -> Any:
    """Change each of an element's values."""
    if value is None:
        return None
    if isinstance(value, (MultiValue, list)):
        return [change(str(item)) for item in value]
    return change(str(value))


def _joined(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, (MultiValue, list)) else str(value)


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    """Write file meta anew: application entity titles and private information of the sender have no place in it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(dataset.file_meta.TransferSyntaxUID)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "OSLER"
    return meta
