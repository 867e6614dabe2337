"""Fusion of rankings by reciprocal rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CONSTANT = 100  # methods.md M1.1


def fuse(rankings: Iterable[Sequence[int]], k: int, constant: int = CONSTANT) -> list[tuple[int, float]]:
    """Return the `k` best items and their fused scores: the sum of 1 / (constant + rank), ranks from one.

    Items of equal score are ordered by number. A ranking may hold an item once only.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (constant + rank)
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:k]
