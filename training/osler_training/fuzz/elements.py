"""Where the elements of a DICOM file lie, byte by byte, so that a mutation can hit one on purpose."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_TAGS_AT_MOST = 2000


@dataclass(frozen=True)
class Place:
    """One element of the top level.

    Attributes:
        tag: Its tag.
        vr: Its VR where the file says so, else empty.
        start: Offset of its tag.
        value: Offset of its value.
        length: Length of the value, `UNDEFINED` where the file says so.
    """

    tag: BaseTag
    vr: str
    start: int
    value: int
    length: int

    @property
    def end(self) -> int:
        """Offset behind the value; the value's own offset where its length is undefined."""
        return self.value if self.length == UNDEFINED else self.value + self.length

    @property
    def length_field(self) -> tuple[int, int]:
        """Offset and size of the field that holds the length."""
        size = 2 if self.vr and self.vr not in LONG_VRS else 4
        return self.value - size, size


@dataclass(frozen=True)
class Layout:
    """A file taken apart: its content, its elements in their order, and its encoding."""

    content: bytes
    places: tuple[Place, ...]
    implicit: bool
    little: bool
    syntax: str

    @property
    def order(self) -> str:
        """Byte order as `struct` writes it."""
        return "<" if self.little else ">"

    def place(self, tag: int) -> Place | None:
        """Return an element by its tag."""
        return next((place for place in self.places if place.tag == tag), None)

    def element(self, tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        """Encode an element as this file would, with a length that may be a lie."""
        size = len(value) if length is None else length
        head = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if self.implicit:
            return head + struct.pack(f"{self.order}L", size) + value
        if vr in LONG_VRS:
            return head + vr.encode() + b"\0\0" + struct.pack(f"{self.order}L", size) + value
        return head + vr.encode() + struct.pack(f"{self.order}H", size & 0xFFFF) + value

    def inserted(self, tag: int, encoded: bytes) -> bytes:
        """Return the content with an encoded element where its tag belongs; another of that tag makes room."""
        own = self.place(tag)
        if own is not None and own.length != UNDEFINED:
            return self.content[: own.start] + encoded + self.content[own.end :]
        at = next((place.start for place in self.places if place.tag > tag), len(self.content))
        return self.content[:at] + encoded + self.content[at:]


def take_apart(content: bytes) -> Layout:
    """Find the elements of a sound file; values that are compressed as a whole (deflate) are one place of none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(BytesIO(content))
    implicit, little = dataset.original_encoding
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    places = [
        _place(content, tag, str(raw.VR or ""), tell, bool(implicit), bool(little))
        for tag in list(dataset.keys())[:_TAGS_AT_MOST]
        if (raw := dataset.get_item(tag)) is not None and (tell := _tell(raw))
    ]
    inside = tuple(place for place in places if content[place.start : place.start + 4] == _tag(place.tag, bool(little)))
    return Layout(content, inside, bool(implicit), bool(little), syntax)


def _tell(element: RawDataElement | DataElement) -> int:
    """Return where a value begins; pydicom has turned the character set into an element already."""
    tell = element.value_tell if isinstance(element, RawDataElement) else element.file_tell
    return int(tell or 0)


def _place(content: bytes, tag: BaseTag, vr: str, tell: int, implicit: bool, little: bool) -> Place:
    written = "" if implicit else vr
    size = 2 if written and written not in LONG_VRS else 4
    length = int.from_bytes(content[tell - size : tell], "little" if little else "big")
    return Place(tag, written, tell - (12 if size == 4 and written else 8), tell, length)


def _tag(tag: BaseTag, little: bool) -> bytes:
    return struct.pack("<HH" if little else ">HH", tag.group, tag.element)
