"""Monitoring the concepts of a site of a workspace: read, compare, keep, log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler.drift.check import dated
from osler.drift.store import site_folder
from osler.explain.service import StudyExplainer
from osler.files import write_atomically
from osler.monitor.compare import LEVEL, Concepts, compare_concepts, detectable
from osler.monitor.mix import CAVEAT, Mix, estimate_mix
from osler.monitor.report import ConceptMove, MonitorReport
from osler.monitor.stream import Stream, read_stream
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

EXPERIMENT = "monitor"


def monitor(
    explainer: StudyExplainer,
    site: str,
    *,
    since: str | None = None,
    first: int = 0,
    patch: SitePatch | None = None,
    level: float = LEVEL,
    track: bool = True,
) -> MonitorReport:
    """Compare the concepts of what arrives at a site with the source; keep the report and log it.

    Args:
        explainer: Model and archive.
        site: The site.
        since: Only what this run of ingest, or this day, and later ones brought.
        first: Compare with the site's own first so many studies instead of the source.
        patch: Read concepts as this patch makes them.
        level: Chance of any false alarm, over all concepts and however often one looks.
        track: Whether to log to the tracker.

    Raises:
        OslerError: `nothing-eligible`; `usage`.
    """
    if not 0 < level < 1:
        raise OslerError(Code.USAGE, f"{level:g} is no chance of a false alarm.", "Give a number such as 0.05.")
    pipeline = explainer.pipeline
    whole = read_stream(explainer, site, patch)
    own, arriving = (whole.rows(slice(0, first)), whole.rows(slice(first, None))) if first else (None, whole)
    stream = arriving if since is None else arriving.since(since)
    if not len(stream):
        raise OslerError(
            Code.NOTHING_ELIGIBLE, f"Nothing that the model reads has arrived from {site!r} since.", "Wait for studies."
        )
    held, before, mix_from = _reference(pipeline, own, stream)
    after = mix_from(0).after
    names = tuple(one.name for one in pipeline.bank.concepts)
    moves = compare_concepts(
        Concepts(pipeline.bank.ids, names, held),
        Concepts(pipeline.bank.ids, names, stream.values),
        level=level,
        mix_shift=lambda start: mix_from(start).shift,
    )
    report = MonitorReport(
        site=site,
        model=pipeline.digest,
        patch=None if patch is None else patch.id,
        level=level,
        reference={"of": pipeline.source.site if own is None else f"first {len(own)} of {site}", "studies": len(held)},
        stream=_facts(stream, since),
        detectable=detectable(len(held), len(stream), len(names), level),
        classes={one: (float(b), float(a)) for one, b, a in zip(pipeline.classes, before, after, strict=True)},
        caveat=CAVEAT,
        concepts=tuple(_dated(one, stream) for one in moves),
    )
    write_atomically(kept_at(explainer.workspace, site, explainer.model), _json(report))
    if track:
        _log(explainer.workspace, report)
    return report


def kept_at(workspace: Workspace, site: str, model: str) -> Path:
    """Return where the latest report of a model at a site is kept."""
    return site_folder(workspace.drift, site) / f"concepts-{model}.json"


def _reference(pipeline: Pipeline, own: Stream | None, stream: Stream) -> tuple[Array, Array, Callable[[int], Mix]]:
    """Return the values to compare with (n, C), their mix of classes (K,), and that of the stream from an arrival on."""
    source = pipeline.source.aligned(pipeline.bank.ids)
    prior = source.class_prior
    calibrated = pipeline.calibration.probabilities
    held, before = source.values, _shares(source.y, len(prior))
    if own is not None:
        if len(own) < 2:
            raise OslerError(Code.USAGE, "A reference of fewer than two studies is none.", "Give a larger --first.")
        held, before = own.values, estimate_mix(calibrated(own.logits), prior, prior, source.mean).after
    p = calibrated(stream.logits)
    return held, before, lambda start: estimate_mix(p[start:], prior, before, source.mean)


def _shares(y: NDArray[np.intp], classes: int) -> Array:
    return np.asarray(np.bincount(y, minlength=classes) / len(y))


def _facts(stream: Stream, since: str | None) -> dict[str, Any]:
    at = stream.arrived
    return {
        "studies": len(stream),
        "unmeasured": stream.unmeasured,
        "since": since,
        "runs": sorted({one.run for one in at}),
        "received": [at[0].started, at[-1].started],
    }


def _dated(one: ConceptMove, stream: Stream) -> ConceptMove:
    return one if one.since is None else replace(one, since=dated(one.since, stream.arrived))


def _json(report: MonitorReport) -> bytes:
    return (json.dumps(report.to_dict(), indent=1, sort_keys=True, default=str) + "\n").encode()


def _log(workspace: Workspace, report: MonitorReport) -> None:
    """Log a report: figures by concept as metrics, the whole as an artifact."""
    metrics = {
        one.id: {"effect": asdict(one.effect), "by_mix": one.by_mix, "p_adjusted": one.p_adjusted, "psi": one.psi}
        for one in report.concepts
    }
    with open_tracker(workspace).run(EXPERIMENT, report.site, tags={"answer": str(report.answer)}) as run:
        run.log_params({"site": report.site, "model": report.model, "patch": report.patch, "level": report.level})
        run.log_metrics(metrics | {"moved": len(report.moved), "studies": report.stream["studies"]})
        run.log_json(report.to_dict(), "monitor.json")
