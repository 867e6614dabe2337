"""Which concepts moved from the source to a site, before any label of the site is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, ks_2samp

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array

LEVEL = 0.05  # accepted rate of false discoveries over all concepts


@dataclass(frozen=True)
class Moved:
    """One concept at a site against the source.

    Attributes:
        id: Identifier of the concept.
        name: Its name.
        source: Its mean over held-out studies of the source.
        site: Its mean over studies of the site, whatever their class.
        shift: The difference in standard deviations of the source.
        beyond_chance: Whether the two distributions differ: two-sample Kolmogorov-Smirnov, Benjamini-Hochberg at the level asked for.
    """

    id: str
    name: str
    source: float
    site: float
    shift: float
    beyond_chance: bool


def moved(pipeline: Pipeline, values: Array, level: float = LEVEL) -> tuple[Moved, ...]:
    """Return how far each concept went, the farthest first.

    Another mix of classes moves concepts too: nothing here says why one moved.

    Args:
        pipeline: The model.
        values: Concept values of the site (n, C) in the bank's order, unpatched and finite.
        level: Accepted rate of false discoveries over all concepts.
    """
    source = pipeline.source.aligned(pipeline.bank.ids).values
    if not len(values) or not len(source):
        return ()
    spread = source.std(axis=0)
    difference = values.mean(axis=0) - source.mean(axis=0)
    shift = difference / np.where(spread < 1e-9, 1.0, spread)
    chance = [ks_2samp(source[:, c], values[:, c]).pvalue for c in range(source.shape[1])]
    found = false_discovery_control(np.clip(chance, 0.0, 1.0)) < level
    rows = [
        Moved(
            one.id,
            one.name,
            float(source[:, c].mean()),
            float(values[:, c].mean()),
            float(shift[c]),
            bool(found[c]),
        )
        for c, one in enumerate(pipeline.bank.concepts)
    ]
    return tuple(sorted(rows, key=lambda one: (-abs(one.shift), one.id)))
