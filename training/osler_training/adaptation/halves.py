"""A target site in two: a fixed test half and a pool to draw supports and streams from; no patient is in both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.recipe import AdaptRecipe, Stream
from osler_training.evaluate.splits import check_disjoint
from osler_training.shift.parts import Rows
from osler_training.shift.sites import Site


@dataclass(frozen=True, eq=False)
class Halves:
    """Who of a target is in which half, and which studies each draw labels.

    Attributes:
        site: Name of the site.
        test: Rows of the test half, of the classes only.
        pool: Rows of the pool, of other classes too where the recipe says so.
        streams: By stream, places in the pool; a place may come several times.
        supports: By number of shots, places in the pool of each draw (S, K n), class by class; smaller draws are the first of
            each class of the larger ones.
    """

    site: str
    test: Rows
    pool: Rows
    streams: dict[Stream, NDArray[np.intp]]
    supports: dict[int, NDArray[np.intp]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of halves, streams and supports: what every adapter and preprocessing shares."""
        record = {
            "site": self.site,
            "test": self.test.tolist(),
            "pool": self.pool.tolist(),
            "streams": {name: rows.tolist() for name, rows in self.streams.items()},
            "supports": {str(n): rows.tolist() for n, rows in self.supports.items()},
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def describe(self, site: Site, classes: Sequence[str]) -> dict[str, object]:
        """Return sizes and digests as JSON."""
        return {
            "digest": self.digest,
            "test": {name: int((site.y[self.test] == k).sum()) for k, name in enumerate(classes)},
            "pool": {name: int((site.y[self.pool] == k).sum()) for k, name in enumerate(classes)},
            "pool_of_other_classes": int((site.y[self.pool] < 0).sum()),
            "streams": {
                name: {one: int((site.y[self.pool[rows]] == k).sum()) for k, one in enumerate(classes)}
                for name, rows in self.streams.items()
            },
            "shots": {
                str(n): hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()
                for n, rows in self.supports.items()
            },
        }


def halves_of(recipe: AdaptRecipe, site: Site, seed: int) -> Halves:
    """Split a target by patient, stratified by class, and draw streams and supports.

    Raises:
        OslerError: `support-insufficient` where a class has too few patients for the test half and one shot.
    """
    patients = np.asarray(site.images.patients)
    test, pool = split_site(patients, site.y, len(recipe.classes), recipe.least_test, seed=seed)
    rows = pool if recipe.other_classes else pool[site.y[pool] >= 0]
    halves = Halves(
        site.name,
        test,
        rows,
        {name: stream_of(site.y[rows], name, seed=seed) for name in recipe.streams},
        supports_of(site.y[rows], patients[rows], recipe, seed=seed),
    )
    check_disjoint({"pool": patients[pool].tolist(), "test half": patients[test].tolist()})
    tested = np.bincount(site.y[test], minlength=len(recipe.classes))
    if not halves.supports or tested.min() < recipe.least_test:
        given = np.bincount(site.y[site.members], minlength=len(recipe.classes))
        short = recipe.classes[int(given.argmin())]
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"{site.name} has {given.min()} images of class {short!r}, too few for {recipe.least_test} to test and "
            f"{recipe.shots[0]} to adapt with, of other patients.",
            "Leave the site or the class out.",
        )
    return halves


def split_site(patients: NDArray[np.str_], y: Rows, classes: int, least: int, *, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of test and pool, ascending.

    A patient goes whole, with the class that most of the images have. Of each class the test half takes patients in a drawn
    order until it has half of the images, and `least` at least. Patients without an image of a class go to the pool, and so
    do images of other classes; those of patients of the test half are used nowhere.
    """
    names, inverse = np.unique(patients, return_inverse=True)
    votes = np.zeros((len(names), classes), int)
    inside = y >= 0
    np.add.at(votes, (inverse[inside], y[inside]), 1)
    rng = np.random.default_rng([seed, 0x7E57])
    tested = np.zeros(len(names), bool)
    for k in range(classes):
        members = rng.permutation(np.flatnonzero((votes.argmax(1) == k) & (votes.sum(1) > 0)))
        wanted = max(votes[members, k].sum() / 2, least)
        before = np.cumsum(votes[members, k]) - votes[members, k]
        tested[members[before < wanted]] = True
    rows = np.arange(len(y))
    return rows[tested[inverse] & inside], rows[~tested[inverse]]


def stream_of(y: Rows, name: Stream, *, seed: int) -> NDArray[np.intp]:
    """Return places of the unlabelled stream: all of them, or as many of each class, each study as often as any other of it.

    A balanced stream is as long as the natural one, so that statistics weigh alike; it has no study of other classes.
    """
    if name == "natural":
        return np.arange(len(y))
    rng = np.random.default_rng([seed, 0xBA1])
    found = [np.flatnonzero(y == k) for k in range(int(y.max(initial=-1)) + 1)]
    each = max(1, round(sum(map(len, found)) / max(len(found), 1)))
    drawn = [
        np.concatenate([np.tile(one, each // len(one)), rng.permutation(one)[: each % len(one)]])
        for one in found
        if len(one)
    ]
    return np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, np.intp)


def supports_of(y: Rows, patients: NDArray[np.str_], recipe: AdaptRecipe, *, seed: int) -> dict[int, NDArray[np.intp]]:
    """Return the places of each draw by number of shots, of as many patients, where every class has so many."""
    rng = np.random.default_rng([seed, 0x5407])
    orders = []
    for _ in range(recipe.draws):
        order = rng.permutation(len(y))
        order = order[np.sort(np.unique(patients[order], return_index=True)[1])]  # one study a patient
        orders.append([order[y[order] == k] for k in range(len(recipe.classes))])
    fewest = min((len(rows) for order in orders for rows in order), default=0)
    return {
        n: np.array([np.concatenate([rows[:n] for rows in order]) for order in orders], np.intp)
        for n in recipe.shots
        if n <= fewest
    }
