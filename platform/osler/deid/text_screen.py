"""A cheap look for anything like a line of text, so that the slow reader is asked about few images only, and where.

A line of text goes up and down along itself more often than anything else in a medical image. It is looked for at
three sizes, along rows and along columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are outside

LONGEST_SIDE = 1280  # larger images are looked at smaller; a letter of 15 pixels on a film of 2500 still has 8
SMALLEST_SIDE = 10  # pixels; what is smaller is not looked at
SIZES = 3  # each half of the one before


@dataclass(frozen=True)
class Sense:
    """What counts as busy.

    Attributes:
        step: Of 255: from one pixel to the next, a rise or fall that counts is greater.
        window: Pixels along and across the line.
        least: Rises, and falls, within the window, as a mean over its lines.
    """

    step: int
    window: tuple[int, int]
    least: float


# Measured on planted text: no line had fewer than 5.0 changes, and 998 in 1000 had 6 or more.
FIRST_LOOK = Sense(32, (44, 5), 4.4)
# Where an image has one line, shorter and paler ones are looked for too: half of all sound films have such places.
SECOND_LOOK = Sense(24, (24, 5), 3.0)


def busy_places(image: Grey, sense: Sense = FIRST_LOOK) -> list[Box]:
    """Return where an image (H, W), 0 to 255, shows anything like a line of three letters or more."""
    rows, columns = image.shape
    found = [_outwards(box, scale, rows, columns) for scale, seen in _sizes(image) for box in _both_ways(seen, sense)]
    return merged(found)


def _sizes(image: Grey) -> Iterator[tuple[float, Grey]]:
    scale = min(LONGEST_SIDE / max(image.shape), 1.0)
    for size in range(SIZES):
        if size or scale < 1:
            image = _resized(image, 0.5 if size else scale)
        if min(image.shape) < SMALLEST_SIDE:
            return
        yield scale * 0.5**size, image


def _both_ways(image: Grey, sense: Sense) -> Iterator[Box]:
    """Yield busy boxes along the rows and, for turned text, along the columns."""
    yield from _busy(image, sense, along=1)
    yield from _busy(image, sense, along=0)


def _busy(image: Grey, sense: Sense, along: int) -> list[Box]:
    """Return where lines along an axis rise and fall often enough within the window, as a mean over its lines."""
    import cv2

    before, after = (image[:, :-1], image[:, 1:]) if along else (image[:-1], image[1:])
    changes = (cv2.subtract(after, before), cv2.subtract(before, after))
    most = cv2.min(*(_begun(np.asarray(change, np.uint8), sense, along) for change in changes))
    length, width = sense.window
    least = math.ceil(sense.least * width)
    if not most.size or most.max() < least:
        return []
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(most >= least, np.uint8), connectivity=8)
    down, right = (width, length // 2) if along else (length // 2, width)
    return [
        (int(top) - down, int(left) - right, int(top + height) + down, int(left + width) + right)
        for left, top, width, height, _ in stats[1:]
    ]


def _begun(changes: Grey, sense: Sense, along: int) -> NDArray[np.uint16]:
    """Count, around each pixel, where runs of changes that count begin."""
    import cv2

    there = cv2.threshold(changes, sense.step, 1, cv2.THRESH_BINARY)[1]
    begins = cv2.subtract(there[:, 1:], there[:, :-1]) if along else cv2.subtract(there[1:], there[:-1])
    window = sense.window if along else sense.window[::-1]
    counts = cv2.boxFilter(begins, cv2.CV_16U, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(counts, np.uint16)


def _outwards(box: Box, scale: float, rows: int, columns: int) -> Box:
    """Return a box found at a smaller size in pixels of the image, within it."""
    top, left, bottom, right = (round(edge / scale) for edge in box)
    return max(top, 0), max(left, 0), min(bottom, rows), min(right, columns)


def merged(boxes: Iterable[Box]) -> list[Box]:
    """Join boxes that overlap, until none do."""
    apart: list[Box] = []
    for box in sorted(boxes):
        while touching := next((other for other in apart if overlap(box, other)), None):
            apart.remove(touching)
            box = joined(box, touching)
        apart.append(box)
    return apart


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def area(box: Box) -> int:
    """Return how many pixels a box holds."""
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(one: Box, other: Box) -> int:
    """Return the number of pixels that two boxes share."""
    high, wide = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(high, 0) * max(wide, 0)


def joined(one: Box, other: Box) -> Box:
    """Return the box around two."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _resized(image: Grey, scale: float) -> Grey:
    import cv2

    size = max(int(image.shape[1] * scale), 1), max(int(image.shape[0] * scale), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
