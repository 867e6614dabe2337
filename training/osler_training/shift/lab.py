"""Everything about an experiment that is known before anything is fitted; whatever is wrong is refused here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osler.bottleneck.protocols import Encoder
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.metrics import METRICS
from osler_training.evaluate.scoring import metric_names
from osler_training.shift.features import check_corrections, open_encoders
from osler_training.shift.groups import check_groups
from osler_training.shift.lines import RecipeFile
from osler_training.shift.parts import Parts, answers_of, parts_of
from osler_training.shift.pixels import check_pixels
from osler_training.shift.plan import seeds_of
from osler_training.shift.recipe import ShiftRecipe
from osler_training.shift.sites import Site, bank_for, check_classes, open_sites, whole_bank


@dataclass(frozen=True, eq=False)
class Lab:
    """An experiment whose data was looked at; it can cross to another process.

    Attributes:
        recipe: The recipe.
        sites: The sites by name.
        parts: Who is in which part, by source and seed.
        bank: The concepts in use.
        encoders: Digest of each encoder.
    """

    recipe: ShiftRecipe
    sites: Mapping[str, Site]
    parts: Mapping[tuple[str, int], Parts]
    bank: ConceptBank
    encoders: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over recipe, data, splits, bank and encoders: what a table depends on, the machine aside."""
        content = {
            "recipe": self.recipe.digest,
            "sites": {name: [site.images.keys, site.y.tolist()] for name, site in self.sites.items()},
            "splits": {f"{source}--{seed}": one.digest for (source, seed), one in self.parts.items()},
            "bank": self.bank.digest,
            "encoders": dict(self.encoders),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the data, as JSON."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "digest": self.digest,
            "bank": {"name": self.bank.name, "version": self.bank.version, "digest": self.bank.digest},
            "concepts": {one.id: one.question for one in self.bank.concepts},
            "encoders": dict(self.encoders),
            "splits": {f"{source}--{seed}": one.digest for (source, seed), one in self.parts.items()},
            "sites": {name: described(site, self.recipe.classes) for name, site in self.sites.items()},
            "sizes": {
                f"{source}--{seed}": {name: len(rows) for name, (_, rows) in one.groups().items()}
                for (source, seed), one in self.parts.items()
            },
        }


def described(site: Site, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the counts of a site."""
    table = site.images.table
    return {
        "images": len(site),
        "patients": int(table["patient"].nunique()),
        "patients_known": bool(table["patient_known"].all()),
        "classes": {name: int((site.y == k).sum()) for k, name in enumerate(classes)},
        "other": int((site.y < 0).sum()),
        "left_out": dict(site.images.left_out),
    }


def open_lab(file: RecipeFile) -> tuple[Lab, dict[str, Encoder]]:
    """Look at everything that a recipe names.

    Raises:
        OslerError: Whatever is wrong, with the line of the recipe to change.
    """
    from osler_contracts.codes import Code

    recipe = file.recipe
    if recipe.goal_metric not in METRICS:
        raise file.refusal(
            Code.USAGE,
            f"there is no metric {recipe.goal_metric!r}.",
            f"Use one of {', '.join(METRICS)}; all of {', '.join(metric_names())} are for saved predictions.",
            "goal_metric",
        )
    check_corrections(file)
    check_pixels(file)
    bank = whole_bank(recipe)
    sites = open_sites(file)
    check_classes(file, sites, bank)
    parts = {
        (source, seed): parts_of(file, sites, source, seed) for source in recipe.source for seed in seeds_of(recipe)
    }
    check_groups(file, sites, parts)
    answers = {f"{source}--{seed}": answers_of(recipe, sites, one, bank) for (source, seed), one in parts.items()}
    bank = bank_for(file, bank, answers)
    encoders = open_encoders(file)
    return Lab(recipe, sites, parts, bank, {name: one.digest for name, one in encoders.items()}), encoders


def cache_folder(chosen: Path | None, out: Path) -> Path:
    """Return the folder of the feature cache: the one that was named, or one beside the results."""
    return chosen or out.with_name(out.name + ".features")
