"""The whole of a line of which a reader saw a part: letters that go on along it in the same white or black."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.deid.text_screen import Box, overlap
from osler.deid.text_views import AT_END

REACH = 0.6  # of the line's height: how far the next letter may be
HIGHEST, WIDEST, LEAST = (
    1.3,
    3.0,
    0.15,
)  # of the line's height: a letter's height and width, letters run together included
SPARED = 3  # pixels around a letter that its blurred edge may take


def whole_line(values: NDArray[Any], box: Box) -> Box:
    """Return a line's box with the letters that go on along it.

    White letters are lost to a reader where they run over film that is nearly white, and black ones likewise: what was
    read is the part that could be seen, and a name may still be read from the rest.

    Args:
        values: A frame's stored values (H, W).
        box: A line, in pixels.
    """
    if box[2] - box[0] > box[3] - box[1]:
        turned = whole_line(values.T, (box[1], box[0], box[3], box[2]))
        return turned[1], turned[0], turned[3], turned[2]
    height = box[2] - box[0]
    rows = max(box[0] - height // 2, 0), min(box[2] + height // 2, len(values))
    # What was read is in one of the two, and goes on in it.
    kinds = [[letter for letter in kind if _beside(letter, box)] for kind in _letters(values, rows, height)]
    letters = max(kinds, key=lambda kind: sum(overlap(letter, box) for letter in kind))
    if not any(overlap(letter, box) for letter in letters):
        return box
    while more := [letter for letter in letters if overlap(_reach(box, height), letter)]:
        letters = [letter for letter in letters if letter not in more]
        for letter in more:
            box = _around(box, letter, values.shape)
    return box


def _beside(letter: Box, line: Box) -> bool:
    """Return whether half of a letter's height or more lies in a line's rows."""
    return 2 * (min(letter[2], line[2]) - max(letter[0], line[0])) >= letter[2] - letter[0]


def _reach(box: Box, height: int) -> Box:
    return box[0], box[1] - round(REACH * height), box[2], box[3] + round(REACH * height)


def _around(box: Box, letter: Box, shape: tuple[int, ...]) -> Box:
    return (
        max(min(box[0], letter[0] - SPARED), 0),
        max(min(box[1], letter[1] - SPARED), 0),
        min(max(box[2], letter[2] + SPARED), shape[0]),
        min(max(box[3], letter[3] + SPARED), shape[1]),
    )


def _letters(values: NDArray[Any], rows: tuple[int, int], height: int) -> Iterator[list[Box]]:
    """Yield what has a letter's size in some rows, among what lies at the lower end of the range, then at the upper."""
    import cv2

    low, high = float(values.min()), float(values.max())
    band = values[rows[0] : rows[1]]
    for there in (band <= low + AT_END * (high - low), band >= high - AT_END * (high - low)):
        _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(there, np.uint8), connectivity=8)
        yield [
            (int(top) + rows[0], int(left), int(top + tall) + rows[0], int(left + wide))
            for left, top, wide, tall, _ in stats[1:]
            if LEAST * height <= max(tall, wide) and tall <= HIGHEST * height and wide <= WIDEST * height
        ]
