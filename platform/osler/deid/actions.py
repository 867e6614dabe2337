"""What the Basic Profile and its options say of each attribute (PS3.15 table E.1-1), reduced to the few actions taken.

The table comes from the library dicom-anonymizer. Its actions are not used: they write 00010101 for every date, leave
what is nested in kept sequences, and record no method codes.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag, Tag

from osler.deid.options import Option

TABLE_EDITION = "2026c"


class Action(Enum):
    """What becomes of an element."""

    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "dummy"
    UID = "uid"
    KEEP = "keep"


# The strongest action that still leaves a conformant object; the profile allows any that its code names.
_BY_CODE = {
    "D_TAGS": Action.DUMMY,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.UID,
    "Z_D_TAGS": Action.DUMMY,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.DUMMY,
    "X_Z_D_TAGS": Action.DUMMY,
    "X_Z_U_STAR_TAGS": Action.UID,
}
# Free text and names that the table does not list are not safer for that.
_UNSAFE_VRS = frozenset({"PN", "LT", "ST", "UT", "UC", "UR", "UN", "AE"})
# Bytes that nobody can read for identifiers stay only where they are pixels or tables for them (groups 0028 and 7FE0).
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_PIXEL_GROUP = 0x7FE0
_GROUPS_OF_PIXELS = (0x0028, _PIXEL_GROUP)
PIXELS = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010})
_UID_KEYWORDS_KEPT = ("ClassUID", "TransferSyntaxUID")
_OVERLAYS_AND_CURVES = (0x5000, 0x6000)
# Items and delimiters belong inside sequences; as elements of their own they make every reader lose its place (PS3.5 7.5).
_STRUCTURE = 0xFFFE
# What the options keep, as far as it is surely listed for them; PS3.15 E.3.7 and E.3.8.
_KEPT_BY_OPTION = {
    Option.CHARACTERISTICS: (
        "EthnicGroup",
        "PatientAge",
        "PatientSex",
        "PatientSize",
        "PatientWeight",
        "PregnancyStatus",
        "SmokingStatus",
    ),
    Option.DEVICE: (
        "CassetteID",
        "DetectorID",
        "DeviceSerialNumber",
        "DeviceUID",
        "GantryID",
        "GeneratorID",
        "PlateID",
        "StationName",
    ),
}


@cache
def _table() -> dict[int, Action]:
    tables = dicom_anonymization_database_selector(f"dicomfields_{TABLE_EDITION}")
    return {
        int(Tag(entry[0], entry[1])): action
        for code, action in _BY_CODE.items()
        for entry in tables[code]
        if len(entry) == 2
    }


@cache
def _kept(options: frozenset[Option]) -> frozenset[int]:
    return frozenset(tag_for_keyword(word) or 0 for option in options for word in _KEPT_BY_OPTION.get(option, ()))


@cache
def action_for(tag: BaseTag, vr: str, options: frozenset[Option] = frozenset()) -> Action:
    """Return what becomes of an element, at whatever level it stands.

    Beyond the table these go too: private elements (`safe_private` may keep some), overlays and curves, group lengths,
    stray delimiters, tags that the dictionary does not know, unlisted names, free text and titles, and bytes that are no pixels.
    """
    if tag.is_private or tag.element == 0 or tag.group & 0xFF00 in _OVERLAYS_AND_CURVES:
        return Action.REMOVE
    if tag.group == _STRUCTURE or not dictionary_has_tag(tag):
        return Action.REMOVE
    if int(tag) in _kept(options):
        return Action.KEEP
    if listed := _table().get(int(tag)):
        return listed
    if vr in _UNSAFE_VRS or (vr in _BINARY_VRS and tag.group not in _GROUPS_OF_PIXELS):
        return Action.REMOVE
    if tag.group == _PIXEL_GROUP and int(tag) not in PIXELS:
        return Action.REMOVE
    if vr == "UI" and not keyword_for_tag(tag).endswith(_UID_KEYWORDS_KEPT):
        return Action.UID
    return Action.KEEP
