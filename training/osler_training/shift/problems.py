"""From parts, features and answers to the problem that methods are fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler_knowledge.bank import ConceptBank
from osler_training.fit.problem import Cohort, Problem, Reference
from osler_training.fit.report_labels import read_reference
from osler_training.shift.groups import group_names, groups_of
from osler_training.shift.parts import Parts, Rows
from osler_training.shift.recipe import ShiftRecipe
from osler_training.shift.sites import Site


@dataclass(frozen=True)
class Encoded:
    """Features of some rows of a site.

    Attributes:
        site: Name of the site.
        rows: The rows (n,), ascending.
        features: Their features (n rows).
    """

    site: str
    rows: Rows
    features: Features

    def at(self, rows: Rows) -> Features:
        """Return the features of some of its rows."""
        return self.features.rows(np.searchsorted(self.rows, rows))


@dataclass(frozen=True, eq=False)
class Setting:
    """What the cells of one source, seed, encoder and preprocessing share.

    Attributes:
        recipe: The recipe.
        sites: The sites.
        parts: Who is in which part.
        encoded: Features by batch: `source`, `reference`, and every test but the first.
        bank: The concepts in use.
        encoder: The encoder.
    """

    recipe: ShiftRecipe
    sites: Mapping[str, Site]
    parts: Parts
    encoded: Mapping[str, Encoded]
    bank: ConceptBank
    encoder: Encoder

    def batch_of(self, test: str) -> Encoded:
        """Return the features of a test: the source's own for the first, its own batch elsewhere."""
        return self.encoded["source" if test == next(iter(self.parts.tests)) else test]

    def cohort(self, batch: Encoded, rows: Rows) -> Cohort:
        """Return some rows of a site as studies."""
        site = self.sites[batch.site]
        pixels = self.recipe.images
        groups = self.groups if site.name == self.parts.source else None
        return Cohort(
            features=batch.at(rows),
            y=site.y[rows],
            patients=tuple(site.images.patients[row] for row in rows),
            images=None if pixels is None else pictures(site, rows, pixels),
            study_uids=tuple(site.images.keys[row] for row in rows),
            concepts=site.concepts(self.bank.ids)[rows],
            groups=None if groups is None else groups[rows],
            encoder_digest=self.encoder.digest,
        )

    @cached_property
    def groups(self) -> NDArray[np.intp] | None:
        """Group of each image of the source (n,); None where nothing makes groups."""
        return groups_of(self.recipe, self.sites[self.parts.source])

    @property
    def group_names(self) -> tuple[str, ...]:
        """Name of each group, by its number."""
        return group_names(self.recipe, self.sites[self.parts.source])

    @cached_property
    def problem(self) -> Problem:
        """The problem; one object, so that methods share its groundings."""
        source = self.encoded["source"]
        train, select, calibrate = (
            self.cohort(source, self.parts.fit[name]) for name in ("train", "select", "calibrate")
        )
        return Problem(self.recipe.classes, train, select, calibrate, self.reference(), self.bank, self.encoder)

    def reference(self) -> Reference:
        """Return what groundings learn from."""
        name, rows = self.parts.reference
        site, batch = self.sites[name], self.encoded["source" if name == self.parts.source else "reference"]
        features, patients = batch.at(rows), tuple(site.images.patients[row] for row in rows)
        if self.recipe.labels_from == "reports":
            texts = [str(site.images.table["text"].iloc[row]) for row in rows]
            return read_reference(features, texts, patients, self.bank, self.recipe.classes)
        return Reference(
            features,
            patients,
            site.concepts(self.bank.ids)[rows],
            one_hot(site.y[rows], len(self.recipe.classes)),
            encoder_digest=self.encoder.digest,
        )


def one_hot(y: Sequence[int] | Array | Rows, classes: int) -> Array:
    """Return the findings (n, K) of class indices; NaN where the label is none of the classes."""
    y = np.asarray(y)
    found = np.full((len(y), classes), np.nan)
    found[y >= 0] = np.eye(classes)[y[y >= 0]]
    return found


def pictures(site: Site, rows: Rows, side: int) -> np.ndarray:
    """Return images (n, side, side) or (n, side, side, 3) in [0, 1], squashed to a square."""
    made = [resize(site.images.load(int(row)), (side, side), anti_aliasing=True) for row in rows]
    return np.stack(made).astype(np.float32)
