"""The images of a recipe's sites, and everything that is refused before anything is fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_training.datasets import open_dataset
from osler_training.datasets.images import Images
from osler_training.datasets.stain import restained
from osler_training.evaluate.metrics import Labels
from osler_training.shift.lines import RecipeFile
from osler_training.shift.recipe import ShiftRecipe, SiteSource


@dataclass(frozen=True)
class Site:
    """The images of one site.

    Attributes:
        name: Name in the recipe.
        images: All of them, whatever their class.
        y: Class index (n,); -1 where the label is none of the classes.
    """

    name: str
    images: Images
    y: Labels

    def __len__(self) -> int:
        return len(self.y)

    @property
    def members(self) -> NDArray[np.intp]:
        """Rows of the classes."""
        return np.flatnonzero(self.y >= 0)

    def concepts(self, ids: Sequence[str]) -> Array:
        """Return the answers (n, C) in {0, 1, NaN}; NaN for concepts that the set does not know."""
        return np.asarray(self.images.concepts.reindex(columns=list(ids)).to_numpy(float))


def open_sites(file: RecipeFile) -> dict[str, Site]:
    """Open the tables of all sites; no image is read.

    Raises:
        OslerError: What the data set refuses; `usage` with the line where nothing is left, a label is missing or a class is
            not there.
    """
    return {name: _open(file, name, source) for name, source in file.recipe.data.items()}


def _open(file: RecipeFile, name: str, source: SiteSource) -> Site:
    try:
        images = open_dataset(source.dataset, source.folder(), **source.options)
    except OslerError as error:
        raise file.refusal(error.code, error.message, error.mend, "data", name) from error
    for column, values in source.where.items():
        if column not in images.table:
            raise file.refusal(
                Code.USAGE,
                f"there is no column {column!r}.",
                f"Use one of {', '.join(map(str, images.table.columns))}.",
                *("data", name, "where", column),
            )
        wanted = {str(value) for value in values}
        images = images.rows(np.flatnonzero(images.table[column].astype(str).isin(wanted)))
    images = images.rows(np.flatnonzero(~images.table["key"].duplicated()))  # one file counts once
    if source.stain:
        images = restained(images, source.stain)
    if not len(images):
        raise file.refusal(
            Code.NOTHING_ELIGIBLE,
            "no image is left.",
            "Change `where`.",
            "data",
            name,
            *(["where"] if source.where else []),
        )
    labels = class_names(images.table["label"])
    # A label map leaves some raw labels out on purpose; those are other classes, and not unlabelled.
    given = class_names(images.table["raw_label"]) if "raw_label" in images.table else labels
    unlabelled = int(((labels == "") & (given == "")).sum())
    # A reference is grounded on concepts alone, and needs no class.
    if unlabelled and name != file.recipe.reference:
        raise file.refusal(
            Code.USAGE,
            f"{unlabelled} of {len(images)} images have no label.",
            "Label them, or leave them out by `where`.",
            *("data", name),
        )
    place = {one: k for k, one in enumerate(file.recipe.classes)}
    y = np.array([place.get(one, -1) for one in labels], np.intp)
    return Site(name, images, y)


def class_names(labels: pd.Series) -> pd.Series:
    """Return labels as text, empty where there is none; `nan` in a table is none either."""
    text = labels.astype("string").fillna("").str.strip()
    return text.where(~text.str.lower().isin(["nan", "none", "null"]), "").astype(str)


def check_classes(file: RecipeFile, sites: Mapping[str, Site], bank: ConceptBank) -> None:
    """Check that the bank knows the classes and that every site has enough of each.

    Raises:
        OslerError: `bank-mismatch` or `support-insufficient`, with the line to change.
    """
    recipe = file.recipe
    if missing := sorted(set(recipe.classes) - set(bank.findings)):
        raise file.refusal(
            Code.BANK_MISMATCH,
            f"the bank {bank.name!r} has no finding {', '.join(missing)}.",
            f"Use some of {', '.join(bank.findings)} as classes, or another {recipe.banked}.",
            "classes",
        )
    for source in recipe.source:
        _enough(file, sites[source], recipe.smallest_class, absent=False)
        for target in recipe.targets_of(source):
            _enough(file, sites[target], recipe.smallest_class, absent=recipe.absent_at_target)


def _enough(file: RecipeFile, site: Site, least: int, *, absent: bool) -> None:
    counts = Counter(site.y[site.y >= 0].tolist())
    for k, name in enumerate(file.recipe.classes):
        if absent and counts[k] < least and counts.total():
            continue
        if counts[k] < least:
            raise file.refusal(
                Code.SUPPORT_INSUFFICIENT,
                f"{site.name} has {counts[k]} images of class {name!r}, fewer than {least}; its labels are "
                f"{', '.join(sorted(set(class_names(site.images.table['label'])))[:12])}.",
                "Leave the class or the site out, map its label by the data set's options, set `absent_at_target`, or "
                "lower `smallest_class`.",
                *("data", site.name),
            )


def whole_bank(recipe: ShiftRecipe) -> ConceptBank:
    """Return the bank that the recipe names, without retired concepts."""
    if recipe.bank is not None:
        return ConceptBank.load(recipe.bank).in_use()
    from osler_knowledge.propose import build_bank

    return build_bank(task=str(recipe.task)).in_use()


def bank_for(file: RecipeFile, bank: ConceptBank, reference: Mapping[str, Array]) -> ConceptBank:
    """Return the bank of the concepts that every reference answers, without those that it answers always alike.

    Args:
        file: The recipe.
        bank: The whole bank.
        reference: By source, the answers of its reference (n, C).

    Raises:
        OslerError: `usage` with the line where a concept is not there or constant; `nothing-eligible` where none is left.
    """
    recipe = file.recipe
    if strangers := sorted(set(recipe.concepts) - set(bank.ids)):
        raise file.refusal(
            Code.UNKNOWN_CONCEPT,
            f"the bank has no concept {', '.join(strangers)}.",
            f"It has {', '.join(bank.ids[:8])} and more.",
            "concepts",
        )
    answered = np.logical_and.reduce([(~np.isnan(one)).any(0) for one in reference.values()])
    varied = np.logical_and.reduce([_varied(one) for one in reference.values()])
    wanted = [one in recipe.concepts if recipe.concepts else bool(answered[c]) for c, one in enumerate(bank.ids)]
    constant = [one for c, one in enumerate(bank.ids) if wanted[c] and not varied[c]]
    if constant and recipe.constant_concepts == "refuse":
        raise file.refusal(
            Code.USAGE,
            f"the reference answers these concepts always alike, or never: {', '.join(constant)}.",
            "Leave them out of `concepts`, ground on another site, or set `constant_concepts: leave_out`.",
            "concepts" if recipe.concepts else "reference",
        )
    kept = [one for c, one in enumerate(bank.ids) if wanted[c] and varied[c]]
    if not kept:
        raise file.refusal(
            Code.NOTHING_ELIGIBLE,
            "the reference answers no concept of the bank both ways.",
            "Ground on a site with annotated concepts, or set `labels_from: reports`.",
            "reference",
        )
    return bank.subset(kept)


def _varied(answers: Array) -> NDArray[np.bool_]:
    return np.asarray((answers == 0).any(0) & (answers == 1).any(0))
