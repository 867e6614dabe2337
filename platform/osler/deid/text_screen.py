"""A cheap look for anything like a line of text, so that the slow reader is asked about few images only, and where.

A line of text goes up and down along itself more often than anything else in a medical image. It is looked for at
three sizes, along rows and along columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are outside

LONGEST_SIDE = 1280  # larger images are looked at smaller; a letter of 15 pixels on a film of 2500 still has 8
STEP = 32  # of 255: the least rise or fall from one pixel to the next that counts
WINDOW = (44, 5)  # pixels along and across the line
# Rises, and falls, within the window: measured on planted text, none had fewer than 5.0 and 998 in 1000 had 6 or more.
LEAST_CHANGES = 4.4
SIZES = 3  # each half of the one before


def busy_places(image: Grey) -> list[Box]:
    """Return where an image (H, W), 0 to 255, shows anything like a line of three letters or more."""
    rows, columns = image.shape
    found = [_outwards(box, scale, rows, columns) for scale, seen in _sizes(image) for box in _both_ways(seen)]
    return _merged(found)


def _sizes(image: Grey) -> Iterator[tuple[float, Grey]]:
    scale = min(LONGEST_SIDE / max(image.shape), 1.0)
    for size in range(SIZES):
        if size or scale < 1:
            image = _resized(image, 0.5 if size else scale)
        if min(image.shape) < 2 * WINDOW[1]:
            return
        yield scale * 0.5**size, image


def _both_ways(image: Grey) -> Iterator[Box]:
    """Yield busy boxes along the rows and, for turned text, along the columns."""
    yield from _busy(image)
    yield from ((left, top, right, bottom) for top, left, bottom, right in _busy(np.ascontiguousarray(image.T)))


def _busy(image: Grey) -> list[Box]:
    """Return where rows rise and fall often enough within the window, as a mean over its rows."""
    import cv2

    steps = np.diff(image.astype(np.int16), axis=1)
    counts = [_begun(steps > STEP), _begun(steps < -STEP)]
    most = np.minimum(*counts)
    if not most.size or most.max() < LEAST_CHANGES * WINDOW[1]:
        return []
    hot = (most >= LEAST_CHANGES * WINDOW[1]).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    across, along = WINDOW[1], WINDOW[0] // 2
    return [
        (int(top) - across, int(left) - along, int(top + height) + across, int(left + width) + along)
        for left, top, width, height, _ in stats[1:]
    ]


def _begun(there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Count, around each pixel, where runs begin."""
    import cv2

    begins = (there[:, 1:] & ~there[:, :-1]).astype(np.uint8)
    counts = cv2.boxFilter(begins, cv2.CV_32F, WINDOW, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(counts, np.float32)


def _outwards(box: Box, scale: float, rows: int, columns: int) -> Box:
    """Return a box found at a smaller size in pixels of the image, within it."""
    top, left, bottom, right = (round(edge / scale) for edge in box)
    return max(top, 0), max(left, 0), min(bottom, rows), min(right, columns)


def _merged(boxes: list[Box]) -> list[Box]:
    """Join boxes that overlap, until none do."""
    merged: list[Box] = []
    for box in sorted(boxes):
        while touching := next((other for other in merged if overlap(box, other)), None):
            merged.remove(touching)
            box = joined(box, touching)
        merged.append(box)
    return merged


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def joined(one: Box, other: Box) -> Box:
    """Return the box around two."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _resized(image: Grey, scale: float) -> Grey:
    import cv2

    size = max(int(image.shape[1] * scale), 1), max(int(image.shape[0] * scale), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
