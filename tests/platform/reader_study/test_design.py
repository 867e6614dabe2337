"""Orders: Latin squares are balanced, every reader meets every arm, and nothing depends on anything but the seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.reader_study.design import balanced_square, blocks, readings

ARMS = ["unaided", "prediction", "concepts", "unpatched", "fifth", "sixth"]


@pytest.mark.parametrize("size", range(1, 7))
def test_each_item_follows_each_other_equally_often(size: int) -> None:
    square = balanced_square(size)
    assert len(square) == (size if size % 2 == 0 else 2 * size)
    for line in square:
        assert sorted(line) == list(range(size))
    for start in range(0, len(square), size):
        half = square[start : start + size]
        assert all(sorted(column) == list(range(size)) for column in zip(*half, strict=True))
    follows = Counter(pair for line in square for pair in pairwise(line))
    if size > 1:
        assert set(follows.values()) == {1 if size % 2 == 0 else 2}
        assert len(follows) == size * (size - 1)


@given(
    cases=st.integers(2, 40),
    count=st.integers(1, 6),
    strata=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_blocks_are_even_over_all_and_within_each_stratum(cases: int, count: int, strata: int, seed: int) -> None:
    kinds = {f"case {n}": str(n % strata) for n in range(cases)}
    found = blocks(kinds, count, seed)
    sizes = Counter(found.values())
    assert max(sizes.values()) - min(sizes[b] for b in range(count)) <= 1
    for stratum in set(kinds.values()):
        inside = Counter(found[case] for case, one in kinds.items() if one == stratum)
        assert max(inside.values()) - min(inside[b] for b in range(count)) <= 1
    assert found == blocks(dict(reversed(kinds.items())), count, seed)


@given(
    arms=st.integers(1, 6),
    readers=st.integers(1, 9),
    cases=st.integers(6, 15),
    seed=st.integers(0, 2**31),
    every=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_reader_reads_every_case_as_often_as_declared(
    arms: int, readers: int, cases: int, seed: int, every: bool
) -> None:
    names, those = [f"reader {n}" for n in range(readers)], ARMS[:arms]
    block_of = blocks({f"case {n}": "x" for n in range(cases)}, arms, seed)
    found = readings(names, those, block_of, every_arm=every, seed=seed)
    for name in names:
        own = [one for one in found if one.reader == name]
        assert [one.place for one in own] == list(range(len(own)))
        by_case: dict[str, list[str]] = {}
        for one in own:
            by_case.setdefault(one.case, []).append(one.arm)
        assert set(by_case) == set(block_of)
        assert all(sorted(one) == sorted(those) if every else len(one) == 1 for one in by_case.values())
        for sitting in range(arms if every else 1):
            here = [one for one in own if one.sitting == sitting]
            assert len({one.case for one in here}) == len(here) == cases
            shares = Counter(one.arm for one in here)
            assert max(shares.values()) - min(shares[arm] for arm in those) <= 1
    assert found == readings(names, those, block_of, every_arm=every, seed=seed)


def test_readers_meet_cases_in_orders_of_their_own() -> None:
    block_of = blocks({f"case {n}": "x" for n in range(12)}, 3, 0)
    found = readings(["A", "B"], ARMS[:3], block_of, every_arm=True, seed=0)
    orders = [[one.case for one in found if (one.reader, one.sitting) == key] for key in (("A", 0), ("A", 1), ("B", 0))]
    assert len({tuple(order) for order in orders}) == 3
    first = {one.case: one.arm for one in found if (one.reader, one.sitting) == ("A", 0)}
    second = {one.case: one.arm for one in found if (one.reader, one.sitting) == ("B", 0)}
    assert all(first[case] != second[case] for case in first)
