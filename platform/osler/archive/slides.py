"""The images of a study in the order in which a reader leafs through them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from osler.archive.records import InstanceRecord

_TAGS = ["SeriesNumber", "SeriesInstanceUID", "InstanceNumber"]
_LAST = 2**31


def in_order(instances: Sequence[InstanceRecord]) -> tuple[InstanceRecord, ...]:
    """Return images by series and number in the series (PS3.3 C.7.3.1, C.7.6.1), then by time of acquisition and UID.

    The index does not hold these numbers, so the headers are read. An image whose header cannot be read comes last: the
    viewer says of it what is wrong.
    """
    return tuple(sorted(instances, key=lambda one: (*_place(one.path), one.acquired, one.uid)))


def _place(path: Path) -> tuple[int, str, int]:
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except (OSError, InvalidDicomError, ValueError, KeyError, AttributeError):
        return _LAST, "", _LAST
    return _number(header, "SeriesNumber"), str(header.get("SeriesInstanceUID", "")), _number(header, "InstanceNumber")


def _number(header: Dataset, name: str) -> int:
    try:
        return int(header.get(name))
    except (TypeError, ValueError):
        return _LAST
