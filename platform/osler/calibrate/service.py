"""Calibrating a model at a site of a workspace: gather, fit, keep, put in force, log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from osler import audit
from osler.adapt.patch import SitePatch
from osler.calibrate.fit import fit_calibration
from osler.calibrate.record import SiteCalibration
from osler.calibrate.store import CalibrationStore
from osler.calibrate.studies import gather_labelled
from osler.explain.service import StudyExplainer
from osler.tracking import open_tracker
from osler.workspace import Workspace

EXPERIMENT = "calibration"
MADE, REVOKED = "calibration.make", "calibration.revoke"


def calibrate(
    explainer: StudyExplainer,
    site: str,
    *,
    label: str | None = None,
    created: str,
    expires: str,
    patch: SitePatch | None = None,
    patched: bool = True,
    chosen: Mapping[str, str] | None = None,
    support: Collection[str] | None = None,
    author: str,
    track: bool = True,
    **settings: Any,
) -> SiteCalibration:
    """Calibrate at a site and put the calibration in force.

    Args:
        explainer: Model and archive.
        site: The site.
        label: Name of the archive's label that holds the class; by default the one whose values are classes.
        created: ISO date that it bears.
        expires: ISO date of its last day.
        patch: The patch that it will hold under, instead of the one in force.
        patched: Whether the patch in force is used.
        chosen: Label by study, instead of all labelled studies of the site.
        support: UIDs of the studies that the patch was fitted on.
        author: Who asks for it, for the record and the audit log.
        track: Whether to log to the tracker.
        **settings: See `osler.calibrate.fit.fit_calibration`.

    Raises:
        OslerError: as `gather_labelled` and `fit_calibration`; `patch-invalid` or `patch-expired`; as `osler.audit.record`, and
            nothing is put in force then.
    """
    used = patch or (explainer.active_patch(site) if patched else None)
    if used is not None:
        used.require_of(explainer.pipeline, on=created)
    labelled = gather_labelled(explainer, site, label=label, patch=used, chosen=chosen, support=support)
    fitted = fit_calibration(
        explainer.pipeline,
        site,
        labelled,
        patch=used,
        created=created,
        expires=expires,
        author=author,
        **settings,
    )
    audit.record(explainer.workspace, actor=fitted.author, action=MADE, subject=fitted.id, details=_details(fitted))
    active = CalibrationStore(explainer.workspace.calibrations).activate(fitted, created)
    if track:
        _log(explainer, active)
    return active


def revoke(workspace: Workspace, one: SiteCalibration, *, on: str, actor: str, note: str = "") -> SiteCalibration:
    """Take a calibration out of force, with an entry in the audit log; it is kept.

    Raises:
        OslerError: as `osler.audit.record`, and nothing is done then.
    """
    audit.record(workspace, actor=actor, action=REVOKED, subject=one.id, details=_details(one, note))
    return CalibrationStore(workspace.calibrations).revoke(one, on, note)


def _details(one: SiteCalibration, note: str = "") -> dict[str, str]:
    return {"site": one.site, "model": one.model[:12], "patch": one.patch or "", "note": note}


def _log(explainer: StudyExplainer, one: SiteCalibration) -> None:
    with open_tracker(explainer.workspace).run(EXPERIMENT, one.site, tags={"calibration": one.id}) as run:
        run.log_params(
            {"site": one.site, "model": one.model, "patch": one.patch, "label": one.label, "expires": one.expires}
        )
        run.log_metrics(
            {"temperature": one.temperature, "studies": one.count, "before": one.before, "after": one.after}
        )
        run.log_json(asdict(one) | {"id": one.id}, "calibration.json")
