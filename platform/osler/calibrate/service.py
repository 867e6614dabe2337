"""Calibrating a model at a site of a workspace: gather, fit, keep, put in force, log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from osler.adapt.patch import SitePatch
from osler.calibrate.fit import fit_calibration
from osler.calibrate.record import SiteCalibration
from osler.calibrate.store import CalibrationStore
from osler.calibrate.studies import gather_labelled
from osler.explain.service import StudyExplainer
from osler.tracking import open_tracker

EXPERIMENT = "calibration"


def calibrate(
    explainer: StudyExplainer,
    site: str,
    *,
    label: str,
    created: str,
    expires: str,
    patch: SitePatch | None = None,
    patched: bool = True,
    chosen: Mapping[str, str] | None = None,
    support: Collection[str] | None = None,
    track: bool = True,
    **settings: Any,
) -> SiteCalibration:
    """Calibrate at a site and put the calibration in force.

    Args:
        explainer: Model and archive.
        site: The site.
        label: Name of the archive's label that holds the class.
        created: ISO date that it bears.
        expires: ISO date of its last day.
        patch: The patch that it will hold under, instead of the one in force.
        patched: Whether the patch in force is used.
        chosen: Label by study, instead of all labelled studies of the site.
        support: UIDs of the studies that the patch was fitted on.
        track: Whether to log to the tracker.
        **settings: See `osler.calibrate.fit.fit_calibration`.

    Raises:
        OslerError: as `gather_labelled` and `fit_calibration`; `patch-invalid` or `patch-expired`.
    """
    used = patch or (explainer.active_patch(site) if patched else None)
    if used is not None:
        used.require_of(explainer.pipeline, on=created)
    labelled = gather_labelled(explainer, site, label=label, patch=used, chosen=chosen, support=support)
    fitted = fit_calibration(
        explainer.pipeline, site, labelled, patch=used, label=label, created=created, expires=expires, **settings
    )
    active = CalibrationStore(explainer.workspace.calibrations).activate(fitted, created)
    if track:
        _log(explainer, active)
    return active


def _log(explainer: StudyExplainer, one: SiteCalibration) -> None:
    with open_tracker(explainer.workspace).run(EXPERIMENT, one.site, tags={"calibration": one.id}) as run:
        run.log_params(
            {"site": one.site, "model": one.model, "patch": one.patch, "label": one.label, "expires": one.expires}
        )
        run.log_metrics(
            {"temperature": one.temperature, "studies": one.count, "before": one.before, "after": one.after}
        )
        run.log_json(asdict(one) | {"id": one.id}, "calibration.json")
