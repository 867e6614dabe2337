"""Private elements that are known to hold figures alone (from PS3.15 table E.3.10-1; only those that are sure)."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from osler.dicom.identifiers import readable_element
from osler.dicom.refusals import attempt

# Private creator, group, last byte of the element: its VR.
SAFE = {
    ("GEMS_PARM_01", 0x0043, 0x39): "IS",  # b value and the like
    ("Philips Imaging DD 001", 0x2001, 0x03): "FL",  # b factor
    ("Philips PET Private Group", 0x7053, 0x00): "DS",  # SUV scale factor
    ("Philips PET Private Group", 0x7053, 0x09): "DS",  # activity concentration scale factor
    ("SIEMENS MR HEADER", 0x0019, 0x0C): "IS",  # b value
    ("SIEMENS MR HEADER", 0x0019, 0x0E): "FD",  # diffusion gradient direction
    ("SIEMENS MR HEADER", 0x0019, 0x27): "FD",  # b matrix
}
_MOST_VALUES = 16


def is_safe_private(dataset: Dataset, tag: BaseTag) -> bool:
    """Return whether a private element is listed and holds a few numbers, or reserves a block for one that does."""
    if tag.is_private_creator:
        return any(
            other.group == tag.group and other.element >> 8 == tag.element and _is_listed(dataset, other)
            for other in dataset.keys()  # noqa: SIM118 - iterating over a data set gives elements
            if other.is_private and not other.is_private_creator
        )
    return _is_listed(dataset, tag)


def _is_listed(dataset: Dataset, tag: BaseTag) -> bool:
    creator = readable_element(dataset, Tag(tag.group, tag.element >> 8))
    element = readable_element(dataset, tag)
    if creator is None or element is None:
        return False
    listed = SAFE.get((str(creator.value or "").strip(), tag.group, tag.element & 0xFF))
    return listed == str(element.VR) and attempt(lambda: _few_numbers(element.value), False)


def _few_numbers(value: Any) -> bool:
    items: Iterable[Any] = value if hasattr(value, "append") or isinstance(value, (list, tuple)) else [value]
    numbers = [float(item) for item in items if item is not None]
    return len(numbers) <= _MOST_VALUES and all(isfinite(number) for number in numbers)
