"""From a site's labelled studies to its calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from osler.adapt.patch import SitePatch, count_shots, support_digest
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler.calibrate.conformal import ConformalSets, fit_sets
from osler.calibrate.points import fit_operating_points
from osler.calibrate.record import SiteCalibration
from osler.calibrate.temperature import fit_temperature
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Fewest studies from which one number, the temperature, is fitted.
LEAST = 10
COVERAGE, SENSITIVITY = 0.9, 0.9


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled studies of a site, one a patient, as the model concludes on them there.

    Attributes:
        logits: Class logits (n, K), with the site's patch.
        y: Class indices (n,).
        study_uids: Pseudonymous study UIDs.
        set_aside: Studies that were left aside since their patients are in the support of the patch.
        label: Name of the archive's label that holds the class.
    """

    logits: Array
    y: NDArray[np.intp]
    study_uids: tuple[str, ...]
    set_aside: int = 0
    label: str = ""


def fit_calibration(
    pipeline: Pipeline,
    site: str,
    labelled: Labelled,
    *,
    created: str,
    expires: str,
    patch: SitePatch | None = None,
    coverage: float = COVERAGE,
    sensitivity: float | None = SENSITIVITY,
    method: str | None = None,
    author: str = "",
) -> SiteCalibration:
    """Fit temperature, operating points and prediction sets; too few studies for sets leave them out, with the reason.

    Args:
        pipeline: The model; its own calibration is what the sets are made from.
        site: The site.
        labelled: Its labelled studies.
        created: ISO date that the calibration will bear.
        expires: ISO date of its last day.
        patch: The patch in force, under which the logits were made.
        coverage: Share of studies whose class is to be in their set.
        sensitivity: Share of a class that its operating point is to call; None sets no points.
        method: See `osler.calibrate.conformal.fit_sets`.
        author: Who asks for it.

    Raises:
        OslerError: `support-insufficient` for fewer than `LEAST` studies or a single class, with the number that is needed;
            `usage` for a date or a share that is none.
    """
    _require_sense(created, expires, sensitivity)
    _require_enough(labelled, site, len(pipeline.classes))
    temperature = fit_temperature(labelled.logits, labelled.y)
    calibrated = softmax(labelled.logits / temperature, axis=1)
    sets, without = _sets(pipeline, labelled, coverage, method)
    points = (
        {}
        if sensitivity is None
        else fit_operating_points(calibrated, labelled.y, pipeline.classes, sensitivity=sensitivity)
    )
    return SiteCalibration(
        site=site,
        model=pipeline.digest,
        bank=pipeline.bank.digest,
        patch=None if patch is None or patch.changes_nothing else patch.id,
        label=labelled.label,
        temperature=temperature,
        created=created,
        expires=expires,
        operating_points=points,
        sensitivity=sensitivity,
        sets=sets,
        without_sets=without,
        studies=count_shots(labelled.y.tolist(), pipeline.classes),
        digest=support_digest(labelled.study_uids),
        set_aside=labelled.set_aside,
        before=_figures(labelled, pipeline.calibration.temperature),
        after=_figures(labelled, temperature),
        author=author,
    )


def _sets(
    pipeline: Pipeline, labelled: Labelled, coverage: float, method: str | None
) -> tuple[ConformalSets | None, str]:
    own = pipeline.calibration.temperature
    try:
        probabilities = softmax(labelled.logits / own, axis=1)
        return (
            fit_sets(probabilities, labelled.y, pipeline.classes, coverage=coverage, temperature=own, method=method),
            "",
        )
    except OslerError as error:
        if error.code is not Code.SUPPORT_INSUFFICIENT:
            raise
        return None, f"{error.message} {error.mend}"


def _figures(labelled: Labelled, temperature: float) -> dict[str, float]:
    """Return cross-entropy, mean confidence and accuracy: a calibrated model is as confident as it is right."""
    log_p = log_softmax(labelled.logits / temperature, axis=1)
    return {
        "cross_entropy": float(-log_p[np.arange(len(labelled.y)), labelled.y].mean()),
        "confidence": float(np.exp(log_p.max(axis=1)).mean()),
        "accuracy": float((labelled.logits.argmax(axis=1) == labelled.y).mean()),
    }


def _require_enough(labelled: Labelled, site: str, classes: int) -> None:
    n, held = len(labelled.y), np.unique(labelled.y)
    if n >= LEAST and len(held) > 1:
        return
    aside = f" ({labelled.set_aside} more are of patients in the patch's support)" if labelled.set_aside else ""
    raise OslerError(
        Code.SUPPORT_INSUFFICIENT,
        f"Site {site!r} has {n} studies to calibrate on{aside}, of {len(held)} of {classes} classes.",
        f"Label {LEAST} of other patients at least, of more than one class.",
    )


def _require_sense(created: str, expires: str, sensitivity: float | None) -> None:
    if expires < created:
        raise OslerError(
            Code.USAGE, f"The calibration would expire on {expires}, before it is made.", "Give a later --expires."
        )
    if sensitivity is not None and not 0 < sensitivity < 1:
        raise OslerError(Code.USAGE, f"A sensitivity of {sensitivity:g} is none.", "Give a number between 0 and 1.")
