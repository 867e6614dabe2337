"""Who is in which part: train, select, calibrate and test of a source, the tests elsewhere, and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_training.datasets.images import COLUMNS
from osler_training.evaluate.splits import check_disjoint, split_digest, split_patients
from osler_training.shift.lines import RecipeFile
from osler_training.shift.recipe import OWN, ShiftRecipe
from osler_training.shift.sites import Site

Rows = NDArray[np.intp]
FIT = ("train", "select", "calibrate")
REVERSED = "reversed"  # the second test of a confounded split


@dataclass(frozen=True)
class Parts:
    """The rows of one source and seed.

    Attributes:
        source: Name of the source.
        fit: Rows of the source by part: train, select, calibrate.
        tests: By name of the test, the site and its rows; the first one is in domain.
        reference: Site and rows whose concepts ground.
        digest: SHA-256 of which patient is in which part.
    """

    source: str
    fit: Mapping[str, Rows]
    tests: Mapping[str, tuple[str, Rows]]
    reference: tuple[str, Rows]
    digest: str

    def groups(self) -> dict[str, tuple[str, Rows]]:
        """Return every part with its site and rows."""
        return {
            **{name: (self.source, rows) for name, rows in self.fit.items()},
            **{f"test {name}": pair for name, pair in self.tests.items()},
            "reference": self.reference,
        }

    def to_dict(self, sites: Mapping[str, Site]) -> dict[str, Any]:
        """Return the parts as JSON: keys of images, which anyone can make from the files."""
        named = {
            name: {"site": site, "images": [sites[site].images.keys[row] for row in rows]}
            for name, (site, rows) in self.groups().items()
        }
        return {"source": self.source, "digest": self.digest, "parts": named}


def parts_of(file: RecipeFile, sites: Mapping[str, Site], source: str, seed: int) -> Parts:
    """Split the source, and take every target and the reference whole.

    Raises:
        OslerError: `patient-overlap` where a patient, or an image, is in two parts; `support-insufficient` where a part has
            too few images of a class.
    """
    recipe, site = file.recipe, sites[source]
    if source in recipe.confound:
        fit, tests = _confounded(file, site, seed)
    else:
        rows = _by_hint(file, site, seed) if recipe.splits == "part" else _by_shares(file, site, seed)
        fit = {name: rows[name] for name in FIT}
        tests = {source: (source, rows["test"])}
        tests |= {name: (name, sites[name].members) for name in recipe.targets_of(source)}
    own = recipe.reference == OWN
    reference = (source, fit["train"]) if own else (recipe.reference, np.arange(len(sites[recipe.reference])))
    parts = Parts(source, fit, tests, reference, "")
    groups = {name: pair for name, pair in parts.groups().items() if not (own and name == "reference")}
    patients = _named(sites, groups, "patients")
    check_disjoint(patients)
    check_disjoint(_named(sites, groups, "keys"))  # one file under two patients is one image still
    _enough(file, sites, parts)
    return Parts(source, fit, tests, reference, split_digest(patients))


def _named(sites: Mapping[str, Site], groups: Mapping[str, tuple[str, Rows]], what: str) -> dict[str, list[str]]:
    every = {site: getattr(sites[site].images, what) for site, _ in groups.values()}
    return {name: [every[site][row] for row in rows] for name, (site, rows) in groups.items()}


def _by_shares(file: RecipeFile, site: Site, seed: int) -> dict[str, Rows]:
    shares = file.recipe.splits.model_dump() if not isinstance(file.recipe.splits, str) else {}
    return _split(site, site.members, shares, seed)


def _split(site: Site, rows: Rows, shares: Mapping[str, float], seed: int) -> dict[str, Rows]:
    patients = site.images.patients
    parts = split_patients([patients[row] for row in rows], site.y[rows], shares, seed=seed)
    return {name: rows[inside] for name, inside in parts.rows.items()}


def _by_hint(file: RecipeFile, site: Site, seed: int) -> dict[str, Rows]:
    """Return the set's own parts; `val` is halved for select and calibrate."""
    hint = site.images.table["part"].astype(str).to_numpy()[site.members]
    rows = {name: site.members[hint == name] for name in ("train", "val", "test")}
    if empty := [name for name, inside in rows.items() if not len(inside)]:
        raise file.refusal(
            Code.USAGE,
            f"{site.name} has no image whose part is {' or '.join(empty)}.",
            "Give shares, such as `splits: {train: 0.5, select: 0.15, calibrate: 0.15, test: 0.2}`.",
            "splits",
        )
    halves = _split(site, rows["val"], {"select": 0.5, "calibrate": 0.5}, seed)
    return {"train": rows["train"], **halves, "test": rows["test"]}


def _confounded(file: RecipeFile, site: Site, seed: int) -> tuple[dict[str, Rows], dict[str, tuple[str, Rows]]]:
    from osler_training.datasets.confounded import confound

    rule = file.recipe.confound[site.name]
    try:
        rows = confound(
            site.images, file.recipe.classes, rule.attribute, rule.values, rule.sizes, seed, rule.exceptions
        )
    except OslerError as error:
        raise file.refusal(error.code, error.message, error.mend, "confound", site.name) from error
    tests = {site.name: (site.name, rows["id_test"]), REVERSED: (site.name, rows["ood_test"])}
    return {name: np.asarray(rows[name], np.intp) for name in FIT}, tests


def _enough(file: RecipeFile, sites: Mapping[str, Site], parts: Parts) -> None:
    """Refuse a part of the source with too few images of a class; `train` needs `smallest_class`, the others one."""
    in_domain = {"test": parts.tests[next(iter(parts.tests))][1]}
    for name, rows in {**parts.fit, **in_domain}.items():
        counts = np.bincount(sites[parts.source].y[rows], minlength=len(file.recipe.classes))
        least = file.recipe.smallest_class if name == "train" else 1
        for k, one in enumerate(file.recipe.classes):
            if counts[k] < least:
                raise file.refusal(
                    Code.SUPPORT_INSUFFICIENT,
                    f"the {name} part of {parts.source} has {counts[k]} images of class {one!r}, fewer than {least}.",
                    "Change the shares, leave the class out, or use a larger set.",
                    "confound" if parts.source in file.recipe.confound else "splits",
                )


def answers_of(recipe: ShiftRecipe, sites: Mapping[str, Site], parts: Parts, bank: ConceptBank) -> Array:
    """Return what the reference's rows answer to each concept (n, C): annotators, or reports."""
    name, rows = parts.reference
    site = sites[name]
    if recipe.labels_from == "annotations":
        return np.asarray(site.concepts(bank.ids)[rows])
    from osler_knowledge.annotate import annotate
    from osler_training.fit.report_labels import labels_of

    return labels_of(annotate([str(site.images.table["text"].iloc[row]) for row in rows], bank), bank.ids)


def attributes_of(site: Site, rows: Rows, grouping: str = "") -> pd.DataFrame:
    """Return what is kept of each image beside the prediction: view, sex, age, and what makes groups."""
    table, kept = site.images.table, ["view", "sex", "age"]
    if grouping in table and grouping not in COLUMNS:  # where a picture is from is on record anyway
        kept.append(grouping)
    return table.iloc[rows][kept].reset_index(drop=True)
