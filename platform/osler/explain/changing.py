"""What would change the model's mind: the fewest concepts that, otherwise, would make the runner-up win.

Exact for heads that are linear in concepts. Values stay within what the source had of each concept, and together no farther
from the source than 95% of its held-out studies are: what no patient looks like is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array, BoolArray
from osler.explain.explanation import ConceptChange, WhatWouldChange
from osler.explain.typicality import Typical
from osler_knowledge.bank import ConceptBank

MOST = 3  # changes
CANDIDATES = 24  # concepts of which combinations are tried: those that can move the margin most
PLAUSIBLE = 0.05  # share of held-out source studies that are farther than a plausible combination may be
_OVER = 1e-3  # of the margin, beyond the point at which both classes are level


@dataclass(frozen=True, eq=False)
class Situation:
    """A study as its head sees it.

    Attributes:
        bank: The concepts.
        classes: Names of the classes.
        values: Values (C,) that the head received.
        logits: What it concluded (K,).
        weights: The head's weights at the study's site (K, C).
        range: Lowest and highest value of each concept that a change may set (C, 2).
        free: Which concepts may be changed (C,): not those that a reader set, nor those that the site ignores.
        source: Held-out concept values of the source (n, C).
        typical: What combinations are usual there, None where too few are known.
    """

    bank: ConceptBank
    classes: tuple[str, ...]
    values: Array
    logits: Array
    weights: Array
    range: Array
    free: BoolArray
    source: Array
    typical: Typical | None


def what_would_change(one: Situation) -> WhatWouldChange:
    """Search up to three changes; of equally few, those that leave the study most like the source's."""
    order = np.argsort(-one.logits, kind="stable")
    first, second = int(order[0]), int(order[1])
    finding, other = (one.classes[k].replace("_", " ") for k in (first, second))
    limit = float("inf") if one.typical is None else one.typical.limit(PLAUSIBLE)
    if not np.isfinite(limit):
        said = "Too few source studies are known to say which combinations of signs occur."
        return WhatWouldChange((), one.classes[second], None, None, 0.0, said)
    found = _search(one, first, second, limit)
    if found is None:
        said = (
            f"No plausible change of up to {MOST} signs would make the model say {other} instead of {finding}."
            if one.typical is None or one.typical.distances(one.values[None])[0] <= limit
            else f"The signs of this study are together unlike the source's: what would make the model say {other} "
            "cannot be judged."
        )
        return WhatWouldChange((), one.classes[second], None, None, limit, said)
    places, values, distance = found
    after = one.logits + one.weights @ (values - one.values)
    changes = tuple(_change(one, c, float(values[c])) for c in places)
    said = f"The model would say {other} instead of {finding} if it read {_listed(changes)}."
    return WhatWouldChange(changes, one.classes[second], float(after[second] - after[first]), distance, limit, said)


def _search(one: Situation, first: int, second: int, limit: float) -> tuple[list[int], Array, float] | None:
    assert one.typical is not None
    weights = one.weights[first] - one.weights[second]
    margin = float(one.logits[first] - one.logits[second])
    target = np.where(weights > 0, one.range[:, 0], one.range[:, 1])
    gains = np.where(one.free, weights * (one.values - target), 0.0)
    candidates = [int(c) for c in np.argsort(-gains, kind="stable")[:CANDIDATES] if gains[c] > 0]
    needed = margin + _OVER * max(1.0, abs(margin))
    for count in range(1, MOST + 1):
        sets = np.array([s for s in combinations(candidates, count) if gains[list(s)].sum() >= needed], np.intp)
        if not len(sets):
            continue
        moved = _moved(one.values, target, gains, sets.reshape(-1, count), needed)
        logits = one.logits + (moved - one.values) @ one.weights.T
        wins = logits.argmax(axis=1) == second
        distances = np.where(wins, one.typical.distances(moved), np.inf)
        best = int(np.argmin(distances))
        if distances[best] <= limit:
            chosen = sorted(sets.reshape(-1, count)[best], key=lambda c: -gains[c])
            return [int(c) for c in chosen], moved[best], float(distances[best])
    return None


def _moved(values: Array, target: Array, gains: Array, sets: NDArray[np.intp], needed: float) -> Array:
    """Return the values (m, C) with each set of concepts moved towards its targets, all by the same share: no farther than
    needed."""
    part = needed / gains[sets].sum(axis=1)
    moved = np.repeat(values[None], len(sets), axis=0)
    rows = np.arange(len(sets))[:, None]
    moved[rows, sets] = values[sets] + part[:, None] * (target[sets] - values[sets])
    return moved


def _change(one: Situation, c: int, needed: float) -> ConceptChange:
    concept, held = one.bank.concepts[c], one.source[:, c]
    now = float(one.values[c])
    below, below_needed = (float((held <= value).mean()) for value in (now, needed))
    return ConceptChange(concept.id, concept.name, now, needed, below, below_needed)


def _listed(changes: tuple[ConceptChange, ...]) -> str:
    said = [f"{'less' if one.value_needed < one.value else 'more'} of {one.name!r}" for one in changes]
    return " and ".join(", ".join(said).rsplit(", ", 1))
