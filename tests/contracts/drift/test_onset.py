"""The start of a planted move, and how often its interval holds it."""

from __future__ import annotations

import numpy as np
import pytest

from osler_contracts.drift.onset import Onset, find_onset

BEFORE, AFTER = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])


def series(rng: np.random.Generator, before: int, after: int) -> np.ndarray:
    """Draw arrivals, one cell each, with a move after so many."""
    cells = np.concatenate([rng.choice(4, before, p=BEFORE), rng.choice(4, after, p=AFTER)])
    return np.eye(4)[cells]


def found(seed: int, before: int, after: int) -> Onset:
    rng = np.random.default_rng([seed, before, after])
    onset = find_onset(series(rng, before, after), rng.multinomial(400, BEFORE).astype(float), str(seed))
    assert onset is not None
    assert onset.low <= onset.at <= onset.high
    return onset


def test_a_start_inside_the_series_is_found_with_its_interval() -> None:
    onsets = [found(seed, 120, 80) for seed in range(40)]
    off = [abs(onset.at - 120) for onset in onsets]
    assert np.median(off) <= 8
    assert np.quantile(off, 0.9) <= 40
    assert sum(onset.low <= 120 <= onset.high for onset in onsets) >= 34
    assert sum(onset.inside for onset in onsets) >= 38
    assert np.median([onset.high - onset.low for onset in onsets]) < 80


def test_what_moved_before_the_first_arrival_is_not_given_a_later_start() -> None:
    onsets = [found(seed, 0, 150) for seed in range(60)]
    assert sum(onset.inside for onset in onsets) <= 8  # 3 expected
    assert sum(onset.low == 0 for onset in onsets) >= 55


def test_a_sharp_switch_is_found_to_the_arrival() -> None:
    shares = np.repeat(np.eye(2), [70, 30], axis=0)
    onset = find_onset(shares, np.array([200.0, 0.0]), "switch")
    assert onset is not None
    assert (onset.at, onset.low, onset.high) == (70, 70, 70)
    assert onset.p == pytest.approx(1 / 500)


def test_long_series_are_told_by_stretches() -> None:
    shares = np.repeat(np.eye(2), [7001, 2999], axis=0)
    onset = find_onset(shares, np.array([200.0, 0.0]), "long")
    assert onset is not None
    assert abs(onset.at - 7001) <= 10
    assert onset.low <= 7001 <= onset.high + 10


def test_too_few_arrivals_have_no_start() -> None:
    assert find_onset(np.eye(2)[[0, 1, 1, 1]], np.array([5.0, 5.0]), "few") is None
