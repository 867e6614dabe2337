"""Cuttings on one sheet: all of each is there, apart from the others, and found again by its slot."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from osler.deid.text_screen import area, overlap
from osler.deid.text_sheet import TILE, packed

SHAPES = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 300)), min_size=1, max_size=12)


@given(SHAPES)
def test_every_cutting_lies_whole_and_apart(shapes: list[tuple[int, int]]) -> None:
    cuttings = [np.full(shape, number + 1, np.uint8) for number, shape in enumerate(shapes)]
    sheet = packed(cuttings)
    assert sheet.image.shape[0] % TILE == sheet.image.shape[1] % TILE == 0
    for number, (slot, shape) in enumerate(zip(sheet.slots, shapes, strict=True)):
        top, left, bottom, right = slot
        assert (bottom - top, right - left) == shape
        assert np.all(sheet.image[top:bottom, left:right] == number + 1)
        assert sheet.slot_of(slot) == number
        assert not any(overlap(slot, other) for other in sheet.slots[:number])


@given(SHAPES)
def test_a_sheet_is_not_much_larger_than_what_lies_on_it(shapes: list[tuple[int, int]]) -> None:
    sheet = packed([np.zeros(shape, np.uint8) for shape in shapes])
    tallest, widest = max(rows for rows, _ in shapes), max(columns for _, columns in shapes)
    room = sum(area((0, 0, rows + 48, columns + 48)) for rows, columns in shapes)
    assert sheet.image.size <= 4 * room + (tallest + 48) * (widest + 48)


def test_a_box_between_cuttings_is_nowhere() -> None:
    sheet = packed([np.zeros((20, 40), np.uint8), np.zeros((20, 40), np.uint8)])
    first, second = sheet.slots
    between = (first[2], 0, second[0], 4) if second[0] > first[0] else (0, first[3], 4, second[1])
    assert sheet.slot_of(between) is None
