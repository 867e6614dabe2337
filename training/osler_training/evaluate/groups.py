"""The group and the class that fare worst (M19.5); a group is a class with a value of an attribute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.bottleneck.records import Array, BoolArray
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.metrics import correct, ratio
from osler_training.evaluate.records import Records

LEAST = 20


@dataclass(frozen=True)
class Group:
    """Accuracy of one class among the studies with one value of an attribute; None where they are too few."""

    name: str
    value: str
    n: int
    accuracy: Estimate | None


@dataclass(frozen=True)
class WorstGroup:
    """All groups of an attribute and the accuracy of the worst of those that are large enough.

    Attributes:
        groups: The groups, large enough or not.
        worst: Lowest accuracy; each replicate takes its own lowest. None where no group is large enough.
        name: `class, value` of the worst group, empty where there is none.
    """

    groups: tuple[Group, ...]
    worst: Estimate | None
    name: str

    @property
    def insufficient(self) -> tuple[str, ...]:
        """Groups with fewer than twenty studies."""
        return tuple(f"{one.name}, {one.value}" for one in self.groups if one.accuracy is None)


def group_members(records: Records, attribute: str) -> dict[tuple[str, str], BoolArray]:
    """Return which studies are in which (class, value of the attribute); a missing value is no group."""
    values = records.attribute(attribute)
    return {
        (name, str(value)): (records.y == k) & (values == value)
        for k, name in enumerate(records.classes)
        for value in np.unique(values[values != ""])
    }


def group_accuracies(records: Records, members: list[BoolArray], weights: Array) -> Array:
    """Return the accuracy of each of G groups under each row of weights (R, G)."""
    member = np.stack(members, axis=1).astype(float)
    return ratio(weights @ (member * correct(records.y, records.prob)[:, None]), weights @ member)


def worst_group(records: Records, attribute: str, *, seed: int, replicates: int = REPLICATES) -> WorstGroup:
    """Return the accuracy of every (class, value of an attribute) with at least twenty studies, and the lowest.

    Raises:
        OslerError: `part-missing` where the table has no such attribute.
    """
    weights = np.vstack(
        [np.ones((1, len(records))), patient_weights(records.patients, seed=seed, replicates=replicates)]
    )
    found = {key: member for key, member in group_members(records, attribute).items() if member.any()}
    large = [key for key, member in found.items() if member.sum() >= LEAST]
    estimates: dict[tuple[str, str], Estimate] = {}
    worst, name = None, ""
    if large:
        drawn = group_accuracies(records, [found[key] for key in large], weights)
        estimates = {key: Estimate(float(drawn[0, g]), drawn[1:, g]) for g, key in enumerate(large)}
        worst = Estimate(float(drawn[0].min()), drawn[1:].min(1))
        name = ", ".join(large[int(drawn[0].argmin())])
    groups = tuple(Group(*key, int(member.sum()), estimates.get(key)) for key, member in found.items())
    return WorstGroup(groups, worst, name)


def worst_group_accuracy(records: Records, weights: Array, attribute: str) -> dict[str, tuple[Array, int]]:
    """Lowest accuracy over the (class, value) groups with at least twenty studies; NaN where there is none."""
    large = [member for member in group_members(records, attribute).values() if member.sum() >= LEAST]
    name = f"worst_group_accuracy:{attribute}"
    if not large:
        return {name: (np.full(len(weights), np.nan), 0)}
    return {name: (group_accuracies(records, large, weights).min(1), int(sum(member.sum() for member in large)))}
