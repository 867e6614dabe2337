"""Everything about a bench that is known before anything is fitted; whatever is wrong is refused here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.bottleneck.protocols import Encoder
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.features import check_preprocessing
from osler_training.adaptation.halves import Halves, halves_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.lab import Lab, open_lab
from osler_training.shift.lines import RecipeFile
from osler_training.shift.plan import seeds_of


@dataclass(frozen=True, eq=False)
class Bench:
    """A bench whose data was looked at; it can cross to another process.

    Attributes:
        lab: Sites, splits, bank and encoders.
        halves: Halves by target and seed.
        refused: Why a target cannot be benched, by name and seed.
    """

    lab: Lab
    halves: Mapping[tuple[str, int], Halves]
    refused: Mapping[str, str]

    @property
    def recipe(self) -> AdaptRecipe:
        """The recipe."""
        assert isinstance(self.lab.recipe, AdaptRecipe)
        return self.lab.recipe

    @property
    def digest(self) -> str:
        """SHA-256 over all that a table depends on, adapters' code aside."""
        halves = {f"{site}--{seed}": one.digest for (site, seed), one in self.halves.items()}
        return hashlib.sha256(json.dumps([self.lab.digest, halves], sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the data, as JSON."""
        sites, classes = self.lab.sites, self.recipe.classes
        return {
            **self.lab.describe(),
            "digest": self.digest,
            "halves": {
                f"{site}--{seed}": one.describe(sites[site], classes) for (site, seed), one in self.halves.items()
            },
            "targets_refused": dict(self.refused),
        }

    def cases(self, site: str, seed: int) -> dict[str, Any]:
        """Return class and patient of each study of a test half, as JSON; patients are numbers."""
        rows, one = self.halves[site, seed].test, self.lab.sites[site]
        patients = np.asarray(one.images.patients)[rows]
        return {"y": one.y[rows].tolist(), "patients": np.unique(patients, return_inverse=True)[1].tolist()}


def open_bench(file: RecipeFile) -> tuple[Bench, dict[str, Encoder]]:
    """Look at everything that a recipe names.

    Raises:
        OslerError: Whatever is wrong, with the line of the recipe to change; `nothing-eligible` where no target has enough
            studies of each class.
    """
    recipe = file.recipe
    assert isinstance(recipe, AdaptRecipe)
    lab, encoders = open_lab(file)
    check_preprocessing(file)
    targets = list(dict.fromkeys(target for source in recipe.source for target in recipe.targets_of(source)))
    halves: dict[tuple[str, int], Halves] = {}
    refused: dict[str, str] = {}
    for target in targets:
        for seed in seeds_of(recipe):
            try:
                halves[target, seed] = halves_of(recipe, lab.sites[target], seed)
            except OslerError as error:
                refused[f"{target}--{seed}"] = error.message
    if not halves:
        raise file.refusal(
            Code.NOTHING_ELIGIBLE,
            "; ".join(refused.values()) or "there is no target.",
            "Name larger sites, fewer classes, or a smaller `least_test`.",
            "targets" if recipe.targets else "data",
        )
    return Bench(lab, halves, refused), encoders
