"""Places of an image cut out and laid on one sheet, so that a reader runs once, over what may be text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osler.deid.text_screen import Box, Grey

GAP = 16  # pixels between two places; a place's own grey fills them
TILE = 32  # the detector's sides are multiples of this, and other sides would be stretched to one


@dataclass(frozen=True)
class Sheet:
    """Cuttings, packed.

    Attributes:
        image: What is read.
        slots: Where each cutting lies, in pixels of the sheet.
    """

    image: Grey
    slots: tuple[Box, ...]

    def slot_of(self, box: Box) -> int | None:
        """Return the number of the cutting in which a box has its middle, None for one between cuttings."""
        row, column = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = (number for number, (a, b, c, d) in enumerate(self.slots) if a <= row < c and b <= column < d)
        return next(inside, None)


def packed(cuttings: Sequence[Grey]) -> Sheet:
    """Lay cuttings (H, W) in rows, the tallest first, on a sheet about as wide as it is high."""
    area = sum((cutting.shape[0] + GAP) * (cutting.shape[1] + GAP) for cutting in cuttings)
    width = _tiles(max(round(area**0.5), max(cutting.shape[1] for cutting in cuttings)))
    slots: dict[int, Box] = {}
    top = left = height = 0
    for number in sorted(range(len(cuttings)), key=lambda number: -cuttings[number].shape[0]):
        rows, columns = cuttings[number].shape
        if left and left + columns > width:
            top, left, height = top + height + GAP, 0, 0
        slots[number] = (top, left, top + rows, left + columns)
        left, height = left + columns + GAP, max(height, rows)
    image = np.full((_tiles(top + height), width), np.median(cuttings[0]), np.uint8)
    for number, (a, b, c, d) in slots.items():
        image[a:c, b:d] = cuttings[number]
    return Sheet(image, tuple(slots[number] for number in range(len(cuttings))))


def _tiles(length: int) -> int:
    return -(-length // TILE) * TILE
