"""The labelled archive studies that a site is calibrated on: one a patient, and none of the patch's patients."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from osler.adapt.patch import SitePatch, support_digest
from osler.adapt.support_store import SupportStore
from osler.archive import StudyRecord
from osler.archive.label_column import choose_column, class_of
from osler.bottleneck.records import Array
from osler.calibrate.fit import Labelled
from osler.explain.service import StudyExplainer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def gather_labelled(
    explainer: StudyExplainer,
    site: str,
    *,
    label: str | None = None,
    patch: SitePatch | None = None,
    chosen: Mapping[str, str] | None = None,
    support: Collection[str] | None = None,
) -> Labelled:
    """Return the logits of labelled studies of a site, as the model concludes under its patch.

    Args:
        explainer: Model and archive.
        site: The site.
        label: Name of the archive's label that holds the class; by default the one whose values are classes.
        patch: The patch in force.
        chosen: Label by study, where not all labelled studies of the archive are to be taken.
        support: UIDs of the studies that the patch was fitted on, where the workspace does not hold them.

    Raises:
        OslerError: `nothing-eligible` where the site has no label that holds the class; `usage` where the support of the patch is
            not known; `patient-overlap` where a chosen study is of one of its
            patients; `table-invalid` for a study of another site or a label that is no class.
    """
    pipeline = explainer.pipeline
    if site == pipeline.source.site:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"The model was fitted at {site!r}: its own studies would flatter it.",
            "Name another site with --site.",
        )
    taken = _patients(explainer, support_of(explainer, patch, support))
    column, labels = _labels(explainer, site, label) if chosen is None else (label or "", dict(chosen))
    studies = [explainer.archive.study(uid) for uid in labels]
    _require_of(studies, labels, site, pipeline.classes)
    overlapping = [study for study in studies if study.patient in taken]
    if overlapping and chosen is not None:
        raise OslerError(
            Code.PATIENT_OVERLAP,
            f"{len(overlapping)} of the named studies are of patients that the patch was fitted on.",
            "Leave them out: a patch looks better on its own patients than on others.",
        )
    free = _one_a_patient([study for study in studies if study.patient not in taken])
    return Labelled(
        logits=_logits(explainer, site, free, patch),
        y=np.array([pipeline.classes.index(labels[one.uid]) for one in free], np.intp),
        study_uids=tuple(one.uid for one in free),
        set_aside=len(overlapping),
        label=column,
    )


def _logits(explainer: StudyExplainer, site: str, studies: list[StudyRecord], patch: SitePatch | None) -> Array:
    """Return the logits (n, K) of studies of a site under its patch."""
    pipeline = replace(explainer.pipeline, patches={})
    if not studies:
        return np.zeros((0, len(pipeline.classes)))
    if patch is not None and any(one.stage == "image" for one in patch.corrections):
        rows = [pipeline.predict_features(explainer.features(one, patch), site=site, patch=patch) for one in studies]
        return np.concatenate([row.logits for row in rows])
    held, features = explainer.site_features(site)
    place = {study.uid: row for row, study in enumerate(held)}
    missing = [study.uid for study in studies if study.uid not in place]
    if missing:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"{len(missing)} of {len(studies)} labelled studies have no image that this model reads.",
            f"Leave them out, such as {missing[0]}.",
        )
    chosen = features.rows(np.array([place[study.uid] for study in studies], np.intp))
    return pipeline.predict_features(chosen, site=site, patch=patch).logits


def support_of(
    explainer: StudyExplainer, patch: SitePatch | None, named: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the studies that a patch was fitted on; none without a patch, or for one that needed none.

    Raises:
        OslerError: `usage` where they are neither held nor named.
    """
    if patch is None or patch.support in ("", support_digest(())):
        return ()
    if named is not None:
        if support_digest(tuple(named)) == patch.support:
            return tuple(named)
        raise OslerError(
            Code.USAGE,
            f"The named support is not the one that patch {patch.id} was fitted on.",
            "Give the table that `osler adapt --support` was given.",
        )
    held = SupportStore(explainer.workspace.patches).of(patch.support)
    if held is None:
        raise OslerError(
            Code.USAGE,
            f"Which studies patch {patch.id} was fitted on is not held here, so its patients cannot be left out.",
            "Name them with --support, the table that `osler adapt` was given.",
        )
    return held


def _patients(explainer: StudyExplainer, uids: Collection[str]) -> frozenset[str]:
    """Return the patients of studies; one that has left the archive has none to overlap with."""
    own = set(uids)
    return frozenset(study.patient for study in explainer.archive.studies() if study.uid in own)


def _labels(explainer: StudyExplainer, site: str, label: str | None) -> tuple[str, dict[str, str]]:
    """Return the label that holds the class, and the class of each study that has one and an image that models read."""
    archive, classes = explainer.archive, explainer.pipeline.classes
    studies = archive.studies(site)
    column = choose_column(studies, classes, {}, label)
    found = {study.uid: class_of(study.labels.get(column), classes, {}) for study in studies if archive.image(study)}
    return column, {uid: classes[k] for uid, k in found.items() if k >= 0}


def _one_a_patient(studies: list[StudyRecord]) -> list[StudyRecord]:
    """Return the first study of each patient, by UID: an order that says nothing."""
    first: dict[str, StudyRecord] = {}
    for study in sorted(studies, key=lambda one: one.uid):
        first.setdefault(study.patient, study)
    return list(first.values())


def _require_of(studies: list[StudyRecord], labels: Mapping[str, str], site: str, classes: Collection[str]) -> None:
    elsewhere = sum(study.site != site for study in studies)
    strange = sorted(set(labels.values()) - set(classes))
    if elsewhere or strange:
        raise OslerError(
            Code.TABLE_INVALID,
            f"{elsewhere} studies are not of site {site!r}, and {len(strange)} labels are no class of the model.",
            f"Use studies of that site with the labels {', '.join(classes)}.",
        )
