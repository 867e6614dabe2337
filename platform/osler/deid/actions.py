"""What the Basic Profile says of each attribute (PS3.15 table E.1-1), reduced to the few actions that we take.

The table comes from the library dicom-anonymizer. Its actions are not used: they write 00010101 for every date, leave
what is nested in kept sequences, and record no method codes.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.tag import BaseTag, Tag

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
_UID_KEYWORDS_KEPT = ("ClassUID", "TransferSyntaxUID")
_OVERLAYS_AND_CURVES = (0x5000, 0x6000)


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
def action_for(tag: BaseTag, vr: str) -> Action:
    """Return what becomes of an element, at whatever level it stands.

    Beyond the table these go too: private elements, overlays and curves, group lengths, tags that the dictionary does
    not know, and unlisted names, free text and titles.
    """
    if tag.is_private or tag.element == 0 or tag.group & 0xFF00 in _OVERLAYS_AND_CURVES or not dictionary_has_tag(tag):
        return Action.REMOVE
    if listed := _table().get(int(tag)):
        return listed
    if vr in _UNSAFE_VRS:
        return Action.REMOVE
    if vr == "UI" and not keyword_for_tag(tag).endswith(_UID_KEYWORDS_KEPT):
        return Action.UID
    return Action.KEEP
