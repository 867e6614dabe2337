"""Who reads which case in which arm and when: a balanced Latin square over arms, and an order of its own for each reader.

The cases fall into as many blocks as there are arms, each with its share of every class and of wrong advice. Readers and
blocks take the lines of the square in turn: in every sitting each reader meets every arm, each case passes through all arms,
and over readers and blocks every arm follows every other equally often (Williams 1949).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reading:
    """One case before one reader.

    Attributes:
        reader: Name of the reader.
        case: Study UID.
        arm: Name of the arm.
        sitting: 0 for the first; a case comes once in each.
        place: Place in the reader's order, over all sittings.
    """

    reader: str
    case: str
    arm: str
    sitting: int
    place: int


def balanced_square(size: int) -> list[list[int]]:
    """Return a Latin square of `size` lines in which each item follows each other once; twice as many for odd sizes.

    Source: Williams, Aust. J. Sci. Res. A 2 (1949) 149: 0, 1, n-1, 2, n-2, ... and its shifts; for odd n their mirrors too.
    """
    first = [0]
    low, high = 1, size - 1
    while low <= high:
        first.append(low)
        if low != high:
            first.append(high)
        low, high = low + 1, high - 1
    lines = [[(one + shift) % size for one in first] for shift in range(size)]
    return lines if size % 2 == 0 else lines + [line[::-1] for line in lines]


def blocks(strata: Mapping[str, str], count: int, seed: int) -> dict[str, int]:
    """Return the block of each case; every stratum is spread evenly, and so is the whole.

    Args:
        strata: What a case is alike in with others (class, wrong advice), by case.
        count: Number of blocks.
        seed: Of the draw.
    """
    rng = np.random.default_rng([seed, 1])
    found: dict[str, int] = {}
    for stratum in sorted(set(strata.values())):
        own = sorted(case for case, one in strata.items() if one == stratum)
        for place in rng.permutation(len(own)):
            found[own[place]] = len(found) % count
    return found


def readings(
    readers: Sequence[str], arms: Sequence[str], block_of: Mapping[str, int], *, every_arm: bool, seed: int
) -> list[Reading]:
    """Return all readings, by reader in the order in which they come."""
    K = len(arms)
    square = balanced_square(K)
    found = []
    for number, reader in enumerate(readers):
        # An odd number of arms needs the mirrored half of the square too: every second round of readers has it.
        half = (number // K) % (len(square) // K) * K
        place = 0
        for sitting in range(K if every_arm else 1):
            rng = np.random.default_rng([seed, 2, number, sitting])
            cases = sorted(block_of)
            for case in (cases[one] for one in rng.permutation(len(cases))):
                arm = arms[square[half + (number + block_of[case]) % K][sitting]]
                found.append(Reading(reader, case, arm, sitting, place))
                place += 1
    return found
