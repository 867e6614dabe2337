"""Adapters against two that a user would otherwise take, on the same draws: a label-free standard and a rival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from osler.bottleneck.records import BoolArray
from osler_training.adaptation.estimates import harm
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.evaluate.bootstrap import Estimate, mean_of
from osler_training.shift.recipe import NONE

if TYPE_CHECKING:
    from osler_training.adaptation.table import Ground

Key = tuple[str, str, str, int, str]
NAMES = ("stream", "preprocessing", "adapter", "n", "against")


def paired(recipe: AdaptRecipe, grounds: Iterable[Ground]) -> list[tuple[dict[str, Any], Estimate, int, int]]:
    """Return what is compared, means over models and targets, harmful draws and draws.

    The standard is fitted without other preprocessing; the rival has the same preprocessing and as many shots.
    """
    found: dict[Key, list[tuple[Estimate, tuple[int, int]]]] = {}
    for ground in grounds:
        for key, ours, theirs in pairs_of(recipe, ground):
            r = ground.resampling
            difference = r.accuracy(ours).minus(r.accuracy(theirs))
            found.setdefault(key, []).append((difference, harm(r.each(ours), r.each(theirs), recipe.harm)))
    rows = []
    for key, several in found.items():
        harmed, draws = (sum(counts[place] for _, counts in several) for place in (0, 1))
        rows.append((dict(zip(NAMES, key, strict=True)), mean_of([one for one, _ in several]), harmed, draws))
    return rows


def pairs_of(recipe: AdaptRecipe, ground: Ground) -> Iterator[tuple[Key, BoolArray, BoolArray]]:
    """Yield right predictions (S, n) of an adapter and those (S, n) or (1, n) of what it is compared with."""
    stream = ground.stream
    for preprocessing, right in ground.right.items():
        for row in ground.rows(preprocessing):
            adapter, n = str(row["adapter"]), int(row["n"])
            ours = right[f"{stream}/{adapter}/{n}"]
            for against, theirs in {
                recipe.standard: ground.right[NONE].get(f"{stream}/{recipe.standard}/0"),
                recipe.rival: right.get(f"{stream}/{recipe.rival}/{n}"),
            }.items():
                if against and theirs is not None and theirs is not ours:
                    yield (stream, preprocessing, adapter, n, against), ours, theirs


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return rows of `table.json` as lines of a Markdown table."""
    heads = (*NAMES, "difference", "harmful (upper)")
    told = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for row in rows:
        numbers = np.array([row["value"], row["ci_low"], row["ci_high"]]) * 100
        share, upper = 100 * row["harmed"]["share"], 100 * row["harmed"]["upper"]
        cells = [str(row[name]) for name in NAMES]
        cells += ["{:+.1f} ({:.1f} to {:.1f})".format(*numbers), f"{share:.0f}% ({upper:.0f}%)"]
        told.append("| " + " | ".join(cells) + " |")
    return told
