"""Groups of studies, a class with a value of an attribute, for methods that seek the worst group (group DRO, M19.5)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_training.fit.checks import FEWEST
from osler_training.shift.lines import RecipeFile
from osler_training.shift.parts import Parts
from osler_training.shift.recipe import ShiftRecipe
from osler_training.shift.sites import Site

SITE = "site"


def grouping(recipe: ShiftRecipe, site: Site) -> str:
    """Return the column that makes the groups of a source; empty where nothing does."""
    if recipe.groups:
        return recipe.groups
    if site.name in recipe.confound:
        return recipe.confound[site.name].attribute
    return SITE if site.images.table[SITE].astype(str).nunique() > 1 else ""


def group_names(recipe: ShiftRecipe, site: Site) -> tuple[str, ...]:
    """Return the name of each group, `class, value`; none where there are no groups."""
    return tuple(f"{one}, {value}" for one in recipe.classes for value in _values(recipe, site)[1])


def groups_of(recipe: ShiftRecipe, site: Site) -> NDArray[np.intp] | None:
    """Return the group of each image (n,), an index of `group_names`; -1 for images of no class; None without groups."""
    value, names = _values(recipe, site)
    if not names:
        return None
    return np.where(site.y >= 0, site.y * len(names) + value, -1).astype(np.intp)


def check_groups(file: RecipeFile, sites: Mapping[str, Site], parts: Mapping[tuple[str, int], Parts]) -> None:
    """Check that methods which ask for groups will have them.

    Raises:
        OslerError: `usage` with the line where a method asks and nothing says what a group is, or there is no such column;
            `support-insufficient` where a group of the training part is too small to learn from.
    """
    asking = [name for name, one in file.recipe.methods.items() if asks_for_groups(one.method or name, one.options)]
    for (source, _), one in parts.items() if asking else ():
        site = sites[source]
        columns = ", ".join(map(str, site.images.table.columns))
        if not (column := grouping(file.recipe, site)):
            raise file.refusal(
                Code.USAGE,
                f"{asking[0]} asks for groups, and nothing says which group an image of {source} belongs to.",
                f"Add a line `groups: COLUMN` with one of {columns}, confound the source, or leave the method out.",
                *("methods", asking[0]),
            )
        if column not in site.images.table:
            raise file.refusal(Code.USAGE, f"{source} has no column {column!r}.", f"Use one of {columns}.", "groups")
        _enough(file, site, one.fit["train"])


def asks_for_groups(method: str, options: Mapping[str, Any]) -> bool:
    """Return whether a method with these options, or the one that it wraps, cannot do without groups."""
    module = import_module(f"osler_training.fit.methods.{method}")
    if getattr(module, "NEEDS_GROUPS", False) or options.get("group_dro", False):
        return True
    wrapped = options.get("of")
    return isinstance(wrapped, str) and asks_for_groups(wrapped, options.get("options", {}))


def _enough(file: RecipeFile, site: Site, rows: NDArray[np.intp]) -> None:
    groups, names = groups_of(file.recipe, site), group_names(file.recipe, site)
    if groups is None:
        return
    counts = np.bincount(groups[rows], minlength=len(names))
    if small := [f"{counts[k]} of {names[k]}" for k in np.flatnonzero((counts > 0) & (counts < FEWEST))]:
        raise file.refusal(
            Code.SUPPORT_INSUFFICIENT,
            f"{len(small)} groups in the train part of {site.name} have fewer than {FEWEST} images: {'; '.join(small[:3])}.",
            "Use a column with fewer values, more images, or more exceptions of a confounded split.",
            *(("groups",) if file.recipe.groups else ("confound", site.name)),
        )


def _values(recipe: ShiftRecipe, site: Site) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the value of each image, as an index, and what each is called."""
    if not (column := grouping(recipe, site)):
        return np.zeros(len(site), np.intp), ()
    if not recipe.groups and site.name in recipe.confound:
        from osler_training.datasets.confounded import values_of

        rule = recipe.confound[site.name]
        value = values_of(site.images, rule.attribute, rule.values)
        names = tuple(_words(one) for one in rule.values)
        # What has none of the values is in no part.
        return np.maximum(value, 0), names
    texts = site.images.table[column].fillna("").astype(str).to_numpy(str)
    found, value = np.unique(texts, return_inverse=True)
    return value.astype(np.intp), tuple(f"{column} {one or 'not given'}" for one in found)


def _words(value: str | tuple[str, ...] | dict[str, float]) -> str:
    if isinstance(value, dict):
        return " ".join(f"{'from' if end == 'low' else 'to'} {limit:g}" for end, limit in value.items())
    return value if isinstance(value, str) else " or ".join(value)
