"""Trials on archived sites: learn at one, test at another, ground on a third that has reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from osler.archive import Archive
from osler.bottleneck.encoders.catalogue import ImageEncoder
from osler.workspace import Workspace
from osler_knowledge.bank import ConceptBank
from osler_training.cohort import cohort, encoded, read_site
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.confounded import Trial
from osler_training.fit.problem import Problem
from osler_training.fit.report_labels import read_reference
from osler_training.recipes.recipe import Recipe, SplitShares


@dataclass(frozen=True)
class Sites:
    """Names of the sites of a trial."""

    source: str
    target: str
    reference: str


def archived_trial(
    workspace: Workspace,
    recipe: Recipe,
    sites: Sites,
    *,
    label: str,
    splits: SplitShares,
    bank: ConceptBank,
    encoder: ImageEncoder,
    provenance: Mapping[str, Any],
    workers: int = 2,
) -> Trial:
    """Read the images of three sites from the archive, encode them, and split the source by patient.

    Args:
        workspace: Where the sites were ingested.
        recipe: Classes, seed, and what a report's silence means.
        sites: Names of the sites.
        label: Name of the label that holds the class.
        splits: Shares of the source's patients.
        bank: The concepts.
        encoder: The encoder of features.
        provenance: What the data came from.
        workers: Processes that decode.

    Raises:
        OslerError: `nothing-eligible` where a site has no labelled frontal image.
    """
    archive = Archive(workspace)
    reference = read_site(archive, sites.reference, encoder.preprocess, workers=workers)
    source, target = (
        cohort(
            read_site(archive, site, encoder.preprocess, workers=workers, label=label),
            encoder,
            recipe.classes,
            label,
            workspace.cache,
        )
        for site in (sites.source, sites.target)
    )
    parts = split_patients(source.patients, source.y, splits.model_dump(), seed=recipe.seed)
    problem = Problem(
        classes=recipe.classes,
        train=source.rows(parts["train"]),
        select=source.rows(parts["select"]),
        calibrate=source.rows(parts["calibrate"]),
        reference=read_reference(
            encoded(reference, encoder, workspace.cache),
            reference.reports,
            reference.patients,
            bank,
            recipe.classes,
            not_mentioned=recipe.not_mentioned,
        ),
        bank=bank,
        encoder=encoder,
    )
    return Trial(problem, source.rows(parts["test"]), target, provenance)
