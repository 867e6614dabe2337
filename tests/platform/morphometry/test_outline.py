"""The closed path around a nucleus, against brute force on small circles and drawn cells."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.morphometry.outline import closed_path, outline


@given(seed=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_the_path_costs_little_more_than_the_best_of_all_closed_paths(seed: int):
    cost = np.random.default_rng(seed).uniform(0, 1, (6, 3))
    jump, bend = 1, 0.1

    def price(path: tuple[int, ...]) -> float:
        steps = np.diff([*path, path[0]])
        if np.abs(steps).max() > jump:
            return np.inf
        return float(cost[np.arange(6), path].sum() + bend * (steps**2).sum())

    best = min(price(path) for path in product(range(3), repeat=6))
    found = price(tuple(closed_path(cost, jump=jump, bend=bend)))
    assert best - 1e-9 <= found <= best + 0.35


def test_a_path_is_closed_and_never_jumps():
    cost = np.random.default_rng(1).uniform(0, 1, (40, 20))
    path = closed_path(cost, jump=2, bend=0.05)
    assert np.abs(np.diff(path)).max() <= 2
    groove = np.ones((40, 20))
    groove[:, 7] = 0
    np.testing.assert_array_equal(closed_path(groove, jump=2, bend=0.05), np.full(40, 7))


@pytest.mark.parametrize("touching", [False, True])
def test_a_cell_ends_where_it_was_drawn_whether_or_not_a_red_cell_touches(touching: bool):
    y, x = np.mgrid[0:120, 0:120] - 59.5
    image = np.ones((120, 120, 3))
    if touching:
        image[np.hypot(x - 50, y - 10) <= 22] = (0.75, 0.6, 0.65)
    cell, nucleus = np.hypot(x, y) <= 32, np.hypot(x + 4, y) <= 18
    image[cell] = (0.80, 0.72, 0.85)
    image[nucleus] = (0.3, 0.15, 0.5)
    found = outline(image, nucleus)
    assert 2 * (found & cell).sum() / (found.sum() + cell.sum()) > 0.96
    assert not (nucleus & ~found).any()
