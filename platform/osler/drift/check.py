"""Making a site's reference profile and comparing what arrived since with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from osler.archive import Archive
from osler.drift.arrived import Arrived, arrived_images, studies_of
from osler.drift.reading import VERSION, Progress, observations_of
from osler.drift.store import Checked, DriftStore
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.drift.compare import LEVEL, compare
from osler_contracts.drift.reference import Profile, make_profile
from osler_contracts.drift.report import DriftReport, FieldResult, Since
from osler_contracts.errors import OslerError

FIRST = 300
EXPERIMENT = "drift"


def make_reference(
    workspace: Workspace,
    site: str,
    *,
    first: int = FIRST,
    runs: Sequence[int] = (),
    workers: int = 0,
    progress: Progress | None = None,
) -> Profile:
    """Make the reference profile of a site and put it in force.

    Args:
        workspace: The workspace.
        site: The site.
        first: Take what arrived before the study after these first ones.
        runs: Take the images that these runs of `osler ingest` brought instead.
        workers: Processes that decode images.
        progress: Called with the number of images read and of all.

    Raises:
        OslerError: `empty-source` where the site has no such image.
    """
    images = arrived_images(Archive(workspace), site)
    chosen = [image for image in images if image.run in runs] if runs else _first(images, first)
    if not chosen:
        raise OslerError(
            Code.EMPTY_SOURCE, f"Nothing has arrived from {site} to make a profile of.", "Ingest some studies first."
        )
    observations = observations_of(chosen, workspace.cache, workers=workers, progress=progress)
    profile = make_profile(observations, site=site, origin=_origin(chosen, first, runs))
    DriftStore(workspace.drift).keep_profile(profile)
    return profile


def check(
    workspace: Workspace,
    site: str,
    *,
    last: int | None = None,
    since_run: int | None = None,
    level: float = LEVEL,
    workers: int = 0,
    progress: Progress | None = None,
    track: bool = True,
) -> DriftReport:
    """Compare what arrived after the reference with it, keep the report, and log it to the tracker.

    Args:
        workspace: The workspace.
        site: The site.
        last: Only the last so many studies.
        since_run: Only what this run of `osler ingest` and later ones brought.
        level: Rate of false discoveries to accept.
        workers: Processes that decode images.
        progress: Called with the number of images read and of all.
        track: Whether to log to the tracker.

    Raises:
        OslerError: `profile-missing` or `profile-invalid`.
    """
    store = DriftStore(workspace.drift)
    profile = store.profile(site)
    after = [image for image in arrived_images(Archive(workspace), site) if image.position > profile.origin["through"]]
    batch = [image for image in after if since_run is None or image.run >= since_run]
    if last is not None:
        batch = _last(batch, last)
    observations = observations_of(batch, workspace.cache, workers=workers, progress=progress)
    report = compare(profile, observations, level=level, facts=_facts(batch))
    first_images = [batch[row] for row in observations.first.tolist()]
    report = replace(report, fields=tuple(_dated(one, first_images) for one in report.fields))
    through = batch[-1].position if batch else int(profile.origin["through"])
    store.keep_report(Checked(_now(), report, through))
    if track and batch:
        _log(workspace, report)
    return report


def newer(workspace: Workspace, site: str, through: int) -> int:
    """Return how many studies of a site have arrived after a position."""
    images = arrived_images(Archive(workspace), site)
    return len(studies_of([image for image in images if image.position > through]))


def _first(images: Sequence[Arrived], count: int) -> list[Arrived]:
    """Return what arrived before the first image of the study after the first `count`."""
    studies = studies_of(images)
    if len(studies) <= count:
        return list(images)
    end = next(image.position for image in images if image.study == studies[count])
    return [image for image in images if image.position < end]


def _last(images: Sequence[Arrived], count: int) -> list[Arrived]:
    studies = studies_of(images)[-count:] if count > 0 else []
    if not studies:
        return []
    start = next(image.position for image in images if image.study == studies[0])
    return [image for image in images if image.position >= start]


def _facts(images: Sequence[Arrived]) -> dict[str, Any]:
    """Say where images came from, in figures and pseudonyms; dates of studies are shifted by patient."""
    dates = sorted(image.study_date for image in images if image.study_date)
    return {
        "studies": len(studies_of(images)),
        "contracts": sorted({image.contract for image in images}),
        "runs": sorted({image.run for image in images}),
        "received": [images[0].started, images[-1].started] if images else [],
        "study_dates_shifted": [dates[0], dates[-1]] if dates else [],
    }


def _origin(images: Sequence[Arrived], first: int, runs: Sequence[int]) -> dict[str, Any]:
    selection = f"runs {', '.join(map(str, runs))}" if runs else f"first {first} studies"
    made = {"created": _now(), "selection": selection, "statistics": VERSION}
    return made | _facts(images) | {"through": max(image.position for image in images)}


def _dated(result: FieldResult, images: Sequence[Arrived]) -> FieldResult:
    """Say with which run a move began."""
    return result if result.since is None else replace(result, since=dated(result.since, images))


def dated(since: Since, images: Sequence[Arrived]) -> Since:
    """Return when a move began with the runs that brought its arrivals, given the first image of each unit."""
    onset = since.onset
    at = images[onset.at]
    return replace(
        since,
        run=at.run,
        started=at.started,
        study=at.study,
        earliest=images[onset.low].started,
        latest=images[onset.high].started,
    )


def _log(workspace: Workspace, report: DriftReport) -> None:
    """Log a report: figures by field as metrics, the whole as an artifact."""
    names = ("psi", "jsd", "ks", "p", "p_adjusted", "detectable")
    metrics = {one.name: {name: asdict(one)[name] for name in names} for one in report.fields if one.null != "constant"}
    with open_tracker(workspace).run(EXPERIMENT, report.site, tags={"answer": str(report.answer)}) as run:
        run.log_params({"site": report.site, "level": report.level, "reference": report.reference["sha256"]})
        run.log_metrics(metrics | {"moved": len(report.moved), "units": report.batch["units"]})
        run.log_json(report.to_dict(), "drift.json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
