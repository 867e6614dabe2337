"""What a reader of an explanation must know beside it, each under a code that stays the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache

from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.archive import StudyRecord
from osler.archive.explanations import Explanation, explain_all
from osler.drift.store import DriftStore, site_folder
from osler.explain.explanation import ExplanationWarning, Likeness
from osler.workspace import Workspace
from osler_contracts.drift.report import Verdict

ABSTAINS = "abstains"
CALIBRATION_NOT_IN_FORCE = "calibration-not-in-force"
PATCH_EXPIRED = "patch-expired"
RESIDUAL = "residual"
SITE_DRIFTED = "site-drifted"
CONCEPTS_MOVED = "concepts-moved"
UNLIKE_SOURCE = {"concepts": "unlike-source-concepts", "image features": "unlike-source-features"}
CODES = (
    ABSTAINS,
    CALIBRATION_NOT_IN_FORCE,
    PATCH_EXPIRED,
    RESIDUAL,
    SITE_DRIFTED,
    CONCEPTS_MOVED,
    *UNLIKE_SOURCE.values(),
)
SMALL_RESIDUAL = 0.05  # share of what moves the margin


@cache
def _known() -> dict[str, list[Explanation]]:
    return explain_all()


def of_contract(study: StudyRecord) -> Iterable[ExplanationWarning]:
    """Yield what the gate noted of the study's files."""
    known = _known()
    for code in study.warnings:
        rule = next(iter(known.get(code, ())), None)
        yield ExplanationWarning(code, f"{rule.meaning} {rule.mend}".strip() if rule else f"The intake noted {code}.")


def of_drift(workspace: Workspace, site: str) -> Iterable[ExplanationWarning]:
    """Yield the alarm of the latest `osler drift check` of a site."""
    checked = DriftStore(workspace.drift).latest(site)
    if checked is not None and checked.report.answer is Verdict.MOVED:
        fields = ", ".join(checked.report.moved[:5])
        yield ExplanationWarning(
            SITE_DRIFTED, f"The images of {site} have changed since the model was set up there ({fields})."
        )


def of_concepts(workspace: Workspace, site: str, model: str, digest: str) -> Iterable[ExplanationWarning]:
    """Yield the alarm of the latest `osler monitor` of a model at a site; nothing where it spoke of another model."""
    path = site_folder(workspace.drift, site) / f"concepts-{model}.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        names = {one["id"]: str(one["name"]) for one in report["concepts"]}
        moved = [names[one] for one in report["moved"]] if report["model"] == digest else []
    except (OSError, ValueError, KeyError, TypeError):
        return
    if moved:
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        yield ExplanationWarning(
            CONCEPTS_MOVED,
            f"At {site} the model reads these signs otherwise than at its source: {', '.join(moved[:3])}{more}.",
        )


def of_patches(patches: PatchStore, site: str, model: str, in_force: SitePatch | None) -> Iterable[ExplanationWarning]:
    """Yield that a patch which was in force at a site has expired, and none has come after it."""
    if in_force is not None:
        return
    for patch in patches.all():
        if (patch.site, patch.model, patch.status) == (site, model, "active") and patch.expired():
            yield ExplanationWarning(
                PATCH_EXPIRED, f"The adjustment to {site} held until {patch.expires}; the model works without it."
            )


def of_calibration(reasons: Iterable[str]) -> Iterable[ExplanationWarning]:
    """Yield why an active calibration does not hold."""
    return (ExplanationWarning(CALIBRATION_NOT_IN_FORCE, one) for one in reasons)


def of_likeness(likeness: Iterable[Likeness]) -> Iterable[ExplanationWarning]:
    """Yield in what the study is unlike the source's."""
    for one in likeness:
        if one.unlike:
            yield ExplanationWarning(
                UNLIKE_SOURCE[one.of],
                f"The {one.of} of this study are unlike those the model was made on; of its source's own studies "
                f"{one.false_alarm:.0%} would be called so.",
            )


def of_residual(share: float) -> Iterable[ExplanationWarning]:
    """Yield how much of what moves the margin no concept names."""
    if share >= SMALL_RESIDUAL:
        yield ExplanationWarning(
            RESIDUAL, f"{share:.0%} of what moved the model went past the signs listed here and has no name."
        )


def of_abstention(reason: str) -> Iterable[ExplanationWarning]:
    """Yield why the prediction set is not of one class."""
    if reason:
        yield ExplanationWarning(ABSTAINS, reason)
